// SPDX-License-Identifier: Apache-2.0
//
// ExitRescue: power off, define the instance's own system again, start it if it was on, and only
// then throw the rescue system away.
#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/rescue_files.h"
#include "agent/core/workflows.h"
#include "common/status_macros.h"

namespace cvm::agent::core {

absl::StatusOr<Plan> PlanExitRescue(const Core& core, const v1::ExitRescueRequest& request) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::EXIT_RESCUE));
  Plan made = PlanFor(*instance, v1::Operation::EXIT_RESCUE,
                      std::make_unique<v1::ExitRescueRequest>(request));
  if (IsOn(instance->observed_power().state())) made.notes[kWasOnNote] = "1";
  return made;
}

Workflow ExitRescueWorkflow(const Core& core, const v1::ExitRescueRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  workflow.steps.push_back(PowerOffForChangeStep(core, id, 30));
  workflow.steps.push_back({
      .name = "restoring the definition",
      .percent = 60,
      .run = [&core, id](StepContext&) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        CVM_RETURN_IF_ERROR(RequireDomainOff(core, *instance));
        v1::Instance former = *instance;
        former.clear_rescue();
        CVM_RETURN_IF_ERROR(
            core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, former)));
        return StepResult::Done();
      },
      .undo = [&core, id](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(id);
        if (instance == nullptr) return absl::OkStatus();
        return core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, *instance));
      },
  });
  // The record keeps what it was in rescue until the last step.
  Step start = StartDomainStep(core, id, 90);
  start.should_run = [&core, id](StepContext&) {
    const InstancePtr instance = core.ledger.instances().Find(id);
    return instance != nullptr && instance->rescue().was_on();
  };
  workflow.steps.push_back(std::move(start));
  workflow.steps.push_back({
      .name = "removing the rescue system",
      .percent = 100,
      .run = [&core, id](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        CVM_RETURN_IF_ERROR(RemoveRescueFiles(core.paths, *instance));
        context.change().UpdateInstance(id, [](v1::Instance& changed) {
          if (!changed.rescue().was_on()) {
            changed.set_wanted_power(changed.rescue().former_wanted_power());
          }
          changed.clear_rescue();
        });
        return StepResult::Done();
      },
      .forward_only = true,
  });
  return workflow;
}

}  // namespace cvm::agent::core
