// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/file.h"

namespace cvm::agent::core {

// Opens a file beneath the import folder as OpenBeneath does, with errors that callers may see:
// INVALID_FIELD with metadata "field", which names it `field`; SOURCE_NOT_FOUND; INTERNAL when the
// host is at fault, of which the log says more.
absl::StatusOr<UniqueFd> OpenSource(const std::string& folder, const std::string& file,
                                    std::string_view field);

}  // namespace cvm::agent::core
