// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "agent/core/core.h"
#include "agent/core/workflow.h"

namespace cvm::agent::core {

// Asks the guest for something and waits until it has happened. A guest that is still booting does
// not hear the first time, so it is asked again every ten seconds.
struct SoftRequest {
  absl::Duration timeout;
  std::function<absl::Status()> ask;
  // True when what was asked for has been seen.
  std::function<absl::StatusOr<bool>()> happened;
  // What to do when the time is up.
  std::function<absl::StatusOr<StepResult>()> timed_out;
  // Asking again would do harm once the guest has heard: ask only once.
  bool ask_once = false;
};

// One run of the step; the deadline and the last time of asking outlive a crash in the notes.
absl::StatusOr<StepResult> RunSoftRequest(const Core& core, StepContext& context,
                                          const SoftRequest& request);

}  // namespace cvm::agent::core
