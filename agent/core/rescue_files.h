// SPDX-License-Identifier: Apache-2.0
//
// What a rescue system consists of on the host's disk.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/core/workflow.h"

namespace cvm::agent::core {

// The configured ISO, and how large it is. SOURCE_NOT_FOUND and the other errors of OpenSource.
absl::StatusOr<uint64_t> RescueIsoBytes(const Core& core);

// Makes the disk from its image, or the copy of the ISO: a copy, so that what happens in the import
// folder, and what libvirt does to the owner of a guest's file, does not reach the other. Running
// it again makes it anew. Stops when the operation is cancelled.
absl::Status MakeRescueMedium(const Core& core, const v1::Instance& instance, StepContext& context);

// Removes disk, ISO, config drive and UEFI variables of the rescue system; what is gone already is
// no error.
absl::Status RemoveRescueFiles(const Paths& paths, const v1::Instance& instance);

}  // namespace cvm::agent::core
