// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstddef>
#include <nlohmann/json.hpp>

#include "cloudinit/documents.h"
#include "cloudinit/json_text.h"

namespace cvm::cloudinit {

absl::StatusOr<std::string> MetaDataJson(const GuestSettings& settings) {
  const bool named = !settings.display_name.empty();
  nlohmann::json document = {
      {"uuid", settings.instance_id},
      {"hostname", settings.host_name},
      {"name", named ? settings.display_name : settings.host_name},
      {"launch_index", 0},
      {"meta", {{"domain_uuid", settings.uuid}}},
  };
  if (!settings.ssh_public_keys.empty()) {
    nlohmann::json keys = nlohmann::json::object();
    for (std::size_t i = 0; i < settings.ssh_public_keys.size(); ++i) {
      keys[fmt::format("key-{}", i)] = settings.ssh_public_keys[i];
    }
    document["public_keys"] = std::move(keys);
  }
  return ToJsonText(document, "meta_data.json");
}

}  // namespace cvm::cloudinit
