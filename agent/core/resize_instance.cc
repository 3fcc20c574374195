// SPDX-License-Identifier: Apache-2.0
//
// ResizeInstance of a guest that is off, or that is turned off for it: the definition is written
// anew with other vCPUs and memory.
#include <charconv>

#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/host_capacity.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// What there was before, for the undo.
constexpr char kOldVcpus[] = "old-vcpus";
constexpr char kOldMemory[] = "old-memory-mib";

void SetSize(v1::Instance& instance, uint32_t vcpus, uint64_t memory_mib) {
  instance.mutable_spec()->set_vcpus(vcpus);
  instance.mutable_spec()->set_memory_mib(memory_mib);
}

uint64_t NumberOf(const std::string& note) {
  uint64_t number = 0;
  std::from_chars(note.data(), note.data() + note.size(), number);
  return number;
}

absl::Status Define(const Core& core, const std::string& id, uint32_t vcpus, uint64_t memory_mib,
                    StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr present, RequireInstance(core, id));
  v1::Instance changed = *present;
  SetSize(changed, vcpus, memory_mib);
  CVM_RETURN_IF_ERROR(core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, changed)));
  context.change().UpdateInstance(
      id, [vcpus, memory_mib](v1::Instance& instance) { SetSize(instance, vcpus, memory_mib); });
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Plan> PlanResizeInstance(const Core& core,
                                        const v1::ResizeInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(ValidateResize(request));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::RESIZE_INSTANCE));
  auto filled = std::make_unique<v1::ResizeInstanceRequest>(request);
  if (filled->vcpus() == 0) filled->set_vcpus(instance->spec().vcpus());
  if (filled->memory_mib() == 0) filled->set_memory_mib(instance->spec().memory_mib());
  const bool on = IsOn(instance->observed_power().state());
  // Of a busy instance the engine will not take the plan.
  if (!IsBusy(*instance)) {
    if (request.online() && on) {
      return Error(ErrorReason::ERROR_REASON_NOT_IMPLEMENTED,
                   "a running guest cannot be resized in this version: say force_stop");
    }
    if (on && !request.force_stop()) {
      return Error(
          ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
          fmt::format("{} is on: stop it first, or say force_stop", instance->id()),
          {{"instance_id", instance->id()}, {"state", v1::InstanceState_Name(instance->state())}});
    }
    CVM_RETURN_IF_ERROR(
        CheckCapacity(core, {.vcpus = filled->vcpus(),
                             .memory_mib = filled->memory_mib(),
                             .disk_bytes = 0,
                             .starts = on || instance->wanted_power() == v1::WANTED_POWER_ON,
                             .instance_id = instance->id()}));
  }
  Plan made = PlanFor(*instance, v1::Operation::RESIZE_INSTANCE, std::move(filled));
  if (on) made.notes[kWasOnNote] = "1";
  return made;
}

Workflow ResizeInstanceWorkflow(const Core& core, const v1::ResizeInstanceRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  workflow.steps.push_back(PowerOffForChangeStep(core, id, 30));
  workflow.steps.push_back({
      .name = "changing the definition",
      .percent = 60,
      .run = [&core, request](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr present,
                             RequireInstance(core, request.instance_id()));
        // Before the first side effect: a repetition after a crash would find the new size.
        if (context.Note(kOldVcpus).empty()) {
          context.SetNote(kOldVcpus, std::to_string(present->spec().vcpus()));
          context.SetNote(kOldMemory, std::to_string(present->spec().memory_mib()));
          CVM_RETURN_IF_ERROR(context.SaveNotes());
        }
        CVM_RETURN_IF_ERROR(
            Define(core, request.instance_id(), request.vcpus(), request.memory_mib(), context));
        return StepResult::Done();
      },
      .undo = [&core, id](StepContext& context) -> absl::Status {
        if (context.Note(kOldVcpus).empty()) return absl::OkStatus();
        return Define(core, id, static_cast<uint32_t>(NumberOf(context.Note(kOldVcpus))),
                      NumberOf(context.Note(kOldMemory)), context);
      },
  });
  workflow.steps.push_back(PowerOnAgainStep(core, id, 100));
  return workflow;
}

}  // namespace cvm::agent::core
