// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/json_text.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace cvm::cloudinit {

absl::StatusOr<std::string> ToJsonText(const nlohmann::json& value, std::string_view document) {
  try {
    return value.dump(2, ' ', false, nlohmann::json::error_handler_t::strict) + "\n";
  } catch (const nlohmann::json::exception&) {
    // The library's message quotes the bytes, which may be a secret.
    return absl::InvalidArgumentError(fmt::format("a string for {} is not UTF-8", document));
  }
}

}  // namespace cvm::cloudinit
