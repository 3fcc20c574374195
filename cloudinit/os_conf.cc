// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_join.h"
#include "cloudinit/documents.h"
#include "cloudinit/ip_address.h"

namespace cvm::cloudinit {

std::string OsConf(const GuestSettings& settings) {
  std::string text = fmt::format("hostname={}\n", settings.host_name);
  if (settings.password_hash.has_value()) {
    text += fmt::format("password={}\n", *settings.password_hash);
  }
  if (!settings.nics.empty()) {
    const Nic& nic = settings.nics.front();
    const Address* address = FirstIpv4(nic);
    if (address != nullptr) text += fmt::format("eth0_ip_addr={}\n", address->ip);
    text += fmt::format("eth0_mac_addr={}\n", absl::AsciiStrToUpper(nic.mac));
    if (address != nullptr) {
      text +=
          fmt::format("eth0_netmask={}\n", ToText(Netmask(IpFamily::kV4, address->prefix_length)));
    }
    if (nic.gateway4.has_value()) text += fmt::format("eth0_gateway={}\n", *nic.gateway4);
  }
  if (!settings.name_servers.empty()) {
    text += fmt::format("dns_nameserver=\"{}\"\n", absl::StrJoin(settings.name_servers, " "));
  }
  return text;
}

}  // namespace cvm::cloudinit
