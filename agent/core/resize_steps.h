// SPDX-License-Identifier: Apache-2.0
//
// What resizing a guest that is off and one that runs have in common.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "agent/core/core.h"
#include "agent/core/instance_size.h"
#include "agent/core/workflow.h"

namespace cvm::agent::core {

// The note with the size before the resize (ToNote), in the record from its beginning.
inline constexpr char kOldSizeNote[] = "old-size";

// Writes the definition with that size; the record follows with the step's end.
absl::Status DefineSize(const Core& core, const std::string& id, const InstanceSize& size,
                        StepContext& context);

}  // namespace cvm::agent::core
