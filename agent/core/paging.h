// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace cvm::agent::core {

// 0 becomes 100; more than 1000 is INVALID_FIELD.
absl::StatusOr<size_t> PageSize(uint32_t asked);

// A token is the last key of the page before. INVALID_PAGE_TOKEN for one that was not made here.
std::string MakePageToken(std::string_view key);
absl::StatusOr<std::string> ParsePageToken(std::string_view token);

}  // namespace cvm::agent::core
