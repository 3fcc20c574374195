// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "agent/core/core.h"
#include "agent/core/host_check.h"

namespace cvm::agent::core {

// Writes the record of a domain that has the agent's element and no record, from that element: its
// ids, spec, owner and life as they were when it was last written; what is observed is added. Of
// its image, if that has no record either, one is made from the file as far as it can be told.
// Secrets and request ids are not in the element, and stay lost. Safe to call again. The store's
// errors.
absl::Status RebuildInstance(const Core& core, const LostInstance& lost);

}  // namespace cvm::agent::core
