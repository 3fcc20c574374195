// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace cvm::cloudinit {

// `value` as indented JSON text that ends in a newline; keys in byte order, non-ASCII characters as
// UTF-8 (escaped as surrogate pairs, YAML readers would take them for two characters). Fails with
// InvalidArgument, naming `document`, when a string in it is not UTF-8.
absl::StatusOr<std::string> ToJsonText(const nlohmann::json& value, std::string_view document);

}  // namespace cvm::cloudinit
