// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "agent/core/planning.h"
#include "agent/core/power_monitor.h"
#include "agent/core/power_steps.h"
#include "agent/core/soft_request.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// The reboots seen before the guest was asked, and who counted them. The count starts anew with the
// agent, so after a restart of the agent any reboot that is seen counts.
constexpr char kSeenBefore[] = "reboots-before";
constexpr char kCounter[] = "reboot-counter";

absl::StatusOr<bool> HasRebooted(const Core& core, const v1::Instance& instance,
                                 StepContext& context) {
  if (IsOff(instance.observed_power().state())) {
    return Error(
        ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
        fmt::format("the guest of {} went off instead of rebooting: start it", instance.id()),
        {{"instance_id", instance.id()}});
  }
  const uint64_t seen = core.power.RebootCount(instance.uuid());
  const std::string note = context.Note(kSeenBefore);
  if (note.empty()) {
    context.SetNote(kSeenBefore, std::to_string(seen));
    context.SetNote(kCounter, core.power.counter_id());
    return false;
  }
  if (context.Note(kCounter) != core.power.counter_id()) return seen > 0;
  uint64_t before = 0;
  std::from_chars(note.data(), note.data() + note.size(), before);
  return seen > before;
}

absl::StatusOr<StepResult> Reboot(const Core& core, const v1::RebootInstanceRequest& request,
                                  StepContext& context) {
  const std::string& id = request.instance_id();
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
  const auto reset = [&]() -> absl::StatusOr<StepResult> {
    CVM_RETURN_IF_ERROR(core.hypervisor.ResetDomain(instance->uuid()));
    return StepResult::Done();
  };
  if (request.mode() == v1::STOP_MODE_HARD) return reset();

  const absl::Duration timeout = FromProtoDuration(request.timeout());
  return RunSoftRequest(
      core, context,
      {.timeout = timeout,
       .ask = [&] { return core.hypervisor.RebootDomain(instance->uuid()); },
       .happened = [&] { return HasRebooted(core, *instance, context); },
       .timed_out = [&]() -> absl::StatusOr<StepResult> {
         if (request.mode() == v1::STOP_MODE_SOFT_FIRST) return reset();
         return Error(
             ErrorReason::ERROR_REASON_GUEST_IGNORED_REBOOT,
             fmt::format("the guest of {} was not seen to reboot within {}; it was left as "
                         "it is. Reboot it with mode HARD, or SOFT_FIRST",
                         id, absl::FormatDuration(timeout)),
             {{"instance_id", id}});
       },
       .ask_once = true});
}

}  // namespace

absl::StatusOr<Plan> PlanRebootInstance(const Core& core,
                                        const v1::RebootInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(CheckEnums(request));
  CVM_RETURN_IF_ERROR(CheckTimeout(request.has_timeout(), request.timeout()));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::REBOOT_INSTANCE));
  return PlanFor(*instance, v1::Operation::REBOOT_INSTANCE, WithSoftDefaults(request, core.config));
}

Workflow RebootInstanceWorkflow(const Core& core, const v1::RebootInstanceRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name =
          request.mode() == v1::STOP_MODE_HARD ? "resetting the guest" : "waiting for the guest",
      .percent = 100,
      .run = [&core, request](StepContext& context) { return Reboot(core, request, context); },
  });
  return workflow;
}

}  // namespace cvm::agent::core
