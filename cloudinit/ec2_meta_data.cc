// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstddef>
#include <nlohmann/json.hpp>

#include "cloudinit/documents.h"
#include "cloudinit/json_text.h"

namespace cvm::cloudinit {
namespace {

// The first IPv4 address of the guest, or "".
std::string FirstIpv4(const GuestSettings& settings) {
  for (const Nic& nic : settings.nics) {
    if (const Address* address = FirstIpv4(nic)) return address->ip;
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> Ec2MetaDataJson(const GuestSettings& settings) {
  nlohmann::json document = {
      {"instance-id", settings.instance_id},
      {"hostname", settings.host_name},
      {"local-hostname", settings.host_name},
  };
  if (const std::string ip = FirstIpv4(settings); !ip.empty()) document["local-ipv4"] = ip;
  if (!settings.nics.empty()) document["mac"] = settings.nics.front().mac;
  for (std::size_t i = 0; i < settings.ssh_public_keys.size(); ++i) {
    document["public-keys"][fmt::format("{}", i)] = {{"openssh-key", settings.ssh_public_keys[i]}};
  }
  return ToJsonText(document, "ec2 meta-data.json");
}

}  // namespace cvm::cloudinit
