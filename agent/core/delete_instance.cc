// SPDX-License-Identifier: Apache-2.0
//
// DeleteInstance: power off, undefine, remove the files, forget; or, with a recycle period, power
// off and wait for RestoreInstance or the period's end. From the undefinition on there is
// no way back (whether it was done is not known when its answer is lost), and what remains is tried
// until it works.
#include "agent/core/instance_files.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"

namespace cvm::agent::core {
namespace {

constexpr absl::Duration kMaxRecyclePeriod = absl::Hours(24 * 365);

}  // namespace

absl::StatusOr<Plan> PlanDeleteInstance(const Core& core,
                                        const v1::DeleteInstanceRequest& request) {
  const absl::Duration asked = FromProtoDuration(request.recycle_period());
  if (asked < absl::ZeroDuration() || asked > kMaxRecyclePeriod) {
    return InvalidField("recycle_period", "must be 0 to 365 days");
  }
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(RequireEtag(request.etag(), instance->etag()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::DELETE_INSTANCE));
  auto filled = std::make_unique<v1::DeleteInstanceRequest>(request);
  if (!request.has_recycle_period()) {
    *filled->mutable_recycle_period() = ToProtoDuration(core.config.operations.recycle_period);
  }
  // Nothing is left to restore, or it has been restorable already.
  if (instance->lifecycle() != v1::LIFECYCLE_PRESENT) filled->clear_recycle_period();
  return PlanFor(*instance, v1::Operation::DELETE_INSTANCE, std::move(filled));
}

Workflow DeleteInstanceWorkflow(const Core& core, const v1::DeleteInstanceRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  workflow.steps.push_back({
      .name = "cutting the power",
      .percent = 30,
      .run = [&core, id](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        CVM_RETURN_IF_ERROR(EnsureOff(core, *instance));
        context.change().UpdateInstance(
            id, [](v1::Instance& changed) { changed.set_wanted_power(v1::WANTED_POWER_OFF); });
        return StepResult::Done();
      },
  });
  if (FromProtoDuration(request.recycle_period()) > absl::ZeroDuration()) {
    workflow.steps.push_back({
        .name = "beginning the recycle period",
        .percent = 100,
        .run = [&core, id, request](StepContext& context) -> absl::StatusOr<StepResult> {
          const auto recycle = [request, now = core.clock.Now()](v1::Instance& changed) {
            changed.set_lifecycle(v1::LIFECYCLE_RECYCLED);
            v1::RecyclePeriod& period = *changed.mutable_recycle();
            *period.mutable_begin_time() = ToTimestamp(now);
            *period.mutable_length() = request.recycle_period();
          };
          CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
          CVM_RETURN_IF_ERROR(WriteMetadata(core, *instance, recycle));
          context.change().UpdateInstance(id, recycle);
          return StepResult::Done();
        },
        .undo = [&core, id](StepContext&) -> absl::Status {
          const InstancePtr instance = core.ledger.instances().Find(id);
          if (instance == nullptr) return absl::OkStatus();
          return WriteMetadata(core, *instance, [](v1::Instance&) {});
        },
    });
    return workflow;
  }
  workflow.steps.push_back({
      .name = "undefining the guest",
      .percent = 50,
      .run = [&core, id](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        // Somebody else may have started it meanwhile.
        CVM_RETURN_IF_ERROR(EnsureOff(core, *instance));
        CVM_RETURN_IF_ERROR(core.hypervisor.UndefineDomain(instance->uuid()));
        context.change().UpdateInstance(
            id, [](v1::Instance& changed) { changed.set_lifecycle(v1::LIFECYCLE_DELETED); });
        return StepResult::Done();
      },
      .forward_only = true,
  });
  workflow.steps.push_back({
      .name = "removing the disks",
      .percent = 100,
      .run = [&core, id](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        // The disks of an adopted instance are somebody else's.
        if (!instance->adopted()) CVM_RETURN_IF_ERROR(RemoveDisks(core.paths, *instance));
        CVM_RETURN_IF_ERROR(RemoveInstanceFolder(core.paths, id));
        context.change().erase_instances.push_back(id);
        return StepResult::Done();
      },
      .forward_only = true,
  });
  return workflow;
}

}  // namespace cvm::agent::core
