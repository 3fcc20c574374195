// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/store/record.pb.h"

namespace cvm::agent::core {

// Of the reinstalls that are under way. Errors: those of the store.
absl::StatusOr<std::vector<store::ReinstallRecord>> UnfinishedReinstalls(const Core& core);

}  // namespace cvm::agent::core
