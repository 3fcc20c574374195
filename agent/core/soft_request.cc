// SPDX-License-Identifier: Apache-2.0
#include "agent/core/soft_request.h"

#include <algorithm>

#include "agent/core/power_steps.h"
#include "common/status_macros.h"

namespace cvm::agent::core {
namespace {

constexpr absl::Duration kAskAgainAfter = absl::Seconds(10);
constexpr absl::Duration kLookAgainAfter = absl::Seconds(5);

}  // namespace

absl::StatusOr<StepResult> RunSoftRequest(const Core& core, StepContext& context,
                                          const SoftRequest& request) {
  CVM_ASSIGN_OR_RETURN(const bool happened, request.happened());
  if (happened) return StepResult::Done();

  const absl::Time now = core.clock.Now();
  std::optional<absl::Time> deadline = TimeNote(context, "deadline");
  if (!deadline) {
    deadline = now + request.timeout;
    SetTimeNote(context, "deadline", *deadline);
  }
  if (now >= *deadline) return request.timed_out();

  const std::optional<absl::Time> asked = TimeNote(context, "asked");
  if (!asked || (!request.ask_once && now - *asked >= kAskAgainAfter)) {
    // Written down first: a guest that must be asked once only is not asked again after a crash.
    SetTimeNote(context, "asked", now);
    CVM_RETURN_IF_ERROR(context.SaveNotes());
    CVM_RETURN_IF_ERROR(request.ask());
  }
  return StepResult::WaitAtMost(std::min(*deadline - now, kLookAgainAfter));
}

}  // namespace cvm::agent::core
