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
        const auto restore = [](v1::Instance& instance) {
          instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
          instance.clear_recycle();
        };
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        CVM_RETURN_IF_ERROR(WriteMetadata(core, *instance, restore));
        context.change().UpdateInstance(id, restore);
        return StepResult::Done();
      },
      .undo = [&core, id = request.instance_id()](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(id);
        if (instance == nullptr) return absl::OkStatus();
        return WriteMetadata(core, *instance, [](v1::Instance&) {});
      },
  });
  return workflow;
}

}  // namespace cvm::agent::core
