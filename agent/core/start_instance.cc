// SPDX-License-Identifier: Apache-2.0
#include "agent/core/host_capacity.h"
#include "agent/core/instance_size.h"
#include "agent/core/maintenance.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/workflows.h"
#include "common/status_macros.h"

namespace cvm::agent::core {
namespace {

constexpr char kWantedOnNote[] = "wanted-on";

}  // namespace

absl::StatusOr<Plan> PlanStartInstance(const Core& core, const v1::StartInstanceRequest& request) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::START_INSTANCE));
  Plan made = PlanFor(*instance, v1::Operation::START_INSTANCE,
                      std::make_unique<v1::StartInstanceRequest>(request));
  // An operation under way is the better reason to refuse; the engine names it.
  if (made.target_was_busy) return made;
  CVM_RETURN_IF_ERROR(CheckMaintenance(core));
  // One that went off by itself is still meant to be on, and counted.
  if (instance->wanted_power() != v1::WANTED_POWER_ON) {
    CVM_RETURN_IF_ERROR(CheckCapacity(core, {.vcpus = instance->spec().vcpus(),
                                             .memory_mib = CountedMemoryMib(*instance),
                                             .disk_bytes = 0,
                                             .starts = true}));
  }
  if (instance->wanted_power() == v1::WANTED_POWER_ON) made.notes[kWantedOnNote] = "1";
  made.change.UpdateInstance(
      instance->id(), [](v1::Instance& changed) { changed.set_wanted_power(v1::WANTED_POWER_ON); });
  return made;
}

Workflow StartInstanceWorkflow(const Core& core, const v1::StartInstanceRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  Step step = StartDomainStep(core, id, 100);
  // One that was meant to be on before is so still: it is tried again after the next boot.
  step.undo = [id, undo = step.undo](StepContext& context) -> absl::Status {
    CVM_RETURN_IF_ERROR(undo(context));
    if (context.Note(kWantedOnNote).empty()) {
      context.change().UpdateInstance(
          id, [](v1::Instance& changed) { changed.set_wanted_power(v1::WANTED_POWER_OFF); });
    }
    return absl::OkStatus();
  };
  workflow.steps.push_back(std::move(step));
  return workflow;
}

}  // namespace cvm::agent::core
