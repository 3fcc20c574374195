// SPDX-License-Identifier: Apache-2.0
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

absl::StatusOr<StepResult> Stop(const Core& core, const v1::StopInstanceRequest& request,
                                StepContext& context) {
  const std::string& id = request.instance_id();
  if (request.mode() == v1::STOP_MODE_HARD) return CutPower(core, id);

  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
  const absl::Duration timeout = FromProtoDuration(request.timeout());
  return RunSoftRequest(
      core, context,
      {.timeout = timeout,
       .ask = [&] { return core.hypervisor.ShutdownDomain(instance->uuid()); },
       .happened = [&]() -> absl::StatusOr<bool> {
         CVM_ASSIGN_OR_RETURN(const StepResult off, WaitForPower(core, id, IsOff));
         return off.done();
       },
       .timed_out = [&]() -> absl::StatusOr<StepResult> {
         if (request.mode() == v1::STOP_MODE_SOFT_FIRST) return CutPower(core, id);
         return Error(ErrorReason::ERROR_REASON_SOFT_STOP_TIMED_OUT,
                      fmt::format("the guest of {} has not shut down within {}; it is still on. "
                                  "Stop it with mode HARD, or SOFT_FIRST",
                                  id, absl::FormatDuration(timeout)),
                      {{"instance_id", id}});
       }});
}

}  // namespace

absl::StatusOr<Plan> PlanStopInstance(const Core& core, const v1::StopInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(CheckEnums(request));
  CVM_RETURN_IF_ERROR(CheckTimeout(request.has_timeout(), request.timeout()));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::STOP_INSTANCE));
  auto filled = WithSoftDefaults(request, core.config);
  const bool hard = filled->mode() == v1::STOP_MODE_HARD;
  Plan made = PlanFor(*instance, v1::Operation::STOP_INSTANCE, std::move(filled));
  made.overrides_soft_stop = hard;
  if (!hard) made.notes[kSoftStopNote] = "1";
  return made;
}

Workflow StopInstanceWorkflow(const Core& core, const v1::StopInstanceRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = request.mode() == v1::STOP_MODE_HARD ? "cutting the power" : "waiting for the guest",
      .percent = 100,
      .run = [&core, request](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const StepResult result, Stop(core, request, context));
        if (result.done()) {
          context.change().UpdateInstance(request.instance_id(), [](v1::Instance& changed) {
            changed.set_wanted_power(v1::WANTED_POWER_OFF);
          });
        }
        return result;
      },
  });
  return workflow;
}

}  // namespace cvm::agent::core
