// SPDX-License-Identifier: Apache-2.0
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/workflows.h"
#include "common/status_macros.h"

namespace cvm::agent::core {

absl::StatusOr<Plan> PlanRestoreInstance(const Core& core,
                                         const v1::RestoreInstanceRequest& request) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::RESTORE_INSTANCE));
  return PlanFor(*instance, v1::Operation::RESTORE_INSTANCE,
                 std::make_unique<v1::RestoreInstanceRequest>(request));
}

Workflow RestoreInstanceWorkflow(const Core& core, const v1::RestoreInstanceRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = "restoring the instance",
      .percent = 100,
      .run = [&core,
              id = request.instance_id()](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_RETURN_IF_ERROR(RequireInstance(core, id).status());
        context.change().UpdateInstance(id, [](v1::Instance& instance) {
          instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
          instance.clear_recycle();
        });
        return StepResult::Done();
      },
  });
  return workflow;
}

}  // namespace cvm::agent::core
