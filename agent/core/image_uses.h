// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>

#include "absl/status/statusor.h"
#include "agent/core/core.h"

namespace cvm::agent::core {

// By image, the instances with a disk that stands on it.
using ImageUses = std::map<std::string, std::set<std::string>>;

// Counts the system disks, both of them while one replaces the other, and the disks of rescue
// systems. Errors: those of the store.
absl::StatusOr<ImageUses> FindImageUses(const Core& core);

}  // namespace cvm::agent::core
