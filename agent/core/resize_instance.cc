// SPDX-License-Identifier: Apache-2.0
//
// ResizeInstance of a guest that is off, or that is turned off for it: the definition is written
// anew with other vCPUs and memory. resize_online.cc has that of one that runs on.
#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/host_capacity.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/resize_online.h"
#include "agent/core/resize_steps.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

absl::Status CheckOfflineResize(const Core& core, const v1::Instance& instance,
                                const v1::ResizeInstanceRequest& request) {
  const bool on = IsOn(instance.observed_power().state());
  if (on && !request.force_stop()) {
    return Error(
        ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
        fmt::format("{} is on: stop it first, or say force_stop or online", instance.id()),
        {{"instance_id", instance.id()}, {"state", v1::InstanceState_Name(instance.state())}});
  }
  return CheckCapacity(core, {.vcpus = request.vcpus(),
                              .memory_mib = request.memory_mib(),
                              .disk_bytes = 0,
                              .starts = on || instance.wanted_power() == v1::WANTED_POWER_ON,
                              .instance_id = instance.id()});
}

}  // namespace

absl::Status DefineSize(const Core& core, const std::string& id, const InstanceSize& size,
                        StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr present, RequireInstance(core, id));
  v1::Instance changed = *present;
  SetSize(size, changed);
  CVM_RETURN_IF_ERROR(core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, changed)));
  context.change().UpdateInstance(id, [size](v1::Instance& instance) {
    SetSize(size, instance);
    instance.clear_pending_size();
  });
  return absl::OkStatus();
}

absl::StatusOr<Plan> PlanResizeInstance(const Core& core,
                                        const v1::ResizeInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(ValidateResize(request));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::RESIZE_INSTANCE));
  auto filled = std::make_unique<v1::ResizeInstanceRequest>(request);
  if (filled->vcpus() == 0) filled->set_vcpus(instance->spec().vcpus());
  if (filled->memory_mib() == 0) filled->set_memory_mib(instance->spec().memory_mib());
  if (!filled->has_timeout()) {
    *filled->mutable_timeout() = ToProtoDuration(core.config.operations.soft_stop_timeout);
  }
  // Of a busy instance the engine will not take the plan.
  if (!IsBusy(*instance)) {
    CVM_RETURN_IF_ERROR(request.online() ? CheckOnlineResize(core, *instance, *filled)
                                         : CheckOfflineResize(core, *instance, *filled));
  }
  v1::PendingSize pending;
  pending.set_vcpus(filled->vcpus());
  pending.set_memory_mib(filled->memory_mib());
  Plan made = PlanFor(*instance, v1::Operation::RESIZE_INSTANCE, std::move(filled));
  made.notes[kOldSizeNote] = ToNote(SizeOf(*instance));
  if (!request.online() && IsOn(instance->observed_power().state())) made.notes[kWasOnNote] = "1";
  made.change.UpdateInstance(instance->id(), [pending](v1::Instance& changed) {
    *changed.mutable_pending_size() = pending;
  });
  return made;
}

Workflow ResizeInstanceWorkflow(const Core& core, const v1::ResizeInstanceRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  if (request.online()) {
    workflow = ResizeOnlineWorkflow(core, request);
  } else {
    workflow.steps.push_back(PowerOffForChangeStep(core, id, 30));
    workflow.steps.push_back({
        .name = "changing the definition",
        .percent = 60,
        .run = [&core, request](StepContext& context) -> absl::StatusOr<StepResult> {
          const InstanceSize size = ResizedOffline(SizeFromNote(context.Note(kOldSizeNote)),
                                                   request.vcpus(), request.memory_mib());
          CVM_RETURN_IF_ERROR(DefineSize(core, request.instance_id(), size, context));
          return StepResult::Done();
        },
        .undo = [&core, id](StepContext& context) -> absl::Status {
          return DefineSize(core, id, SizeFromNote(context.Note(kOldSizeNote)), context);
        },
    });
    workflow.steps.push_back(PowerOnAgainStep(core, id, 100));
  }
  workflow.on_failed = [id](LedgerChange& change) {
    change.UpdateInstance(id, [](v1::Instance& instance) { instance.clear_pending_size(); });
  };
  return workflow;
}

}  // namespace cvm::agent::core
