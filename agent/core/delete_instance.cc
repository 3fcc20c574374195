// SPDX-License-Identifier: Apache-2.0
//
// DeleteInstance: power off, undefine, remove the files, forget; or, with a recycle period, power
// off and wait for RestoreInstance or the period's end. From the undefinition on there is
// no way back (whether it was done is not known when its answer is lost), and what remains is tried
// until it works.
#include <algorithm>
#include <set>

#include "agent/core/instance_files.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/volumes.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

constexpr absl::Duration kMaxRecyclePeriod = absl::Hours(24 * 365);
// Its create failed: whatever its spec names is not its own.
constexpr char kHoldsNothingNote[] = "holds-nothing";
constexpr char kWantedOnNote[] = "wanted-on";

// Each is a data disk of the instance, and none is named twice.
absl::Status CheckKeep(const v1::DeleteInstanceRequest& request, const v1::Instance& instance) {
  if (instance.adopted() && request.keep_disk_ids_size() > 0) {
    return Error(ErrorReason::ERROR_REASON_ADOPTED_INSTANCE,
                 fmt::format("the disks of {} are somebody else's and stay in any case: leave "
                             "keep_disk_ids out",
                             instance.id()),
                 {{"field", "keep_disk_ids"}});
  }
  std::set<std::string> seen;
  for (int i = 0; i < request.keep_disk_ids_size(); ++i) {
    const std::string& id = request.keep_disk_ids(i);
    const std::string field = fmt::format("keep_disk_ids[{}]", i);
    CVM_RETURN_IF_ERROR(CheckId(field, kDiskPrefix, id));
    if (!seen.insert(id).second) {
      return Error(ErrorReason::ERROR_REASON_DUPLICATE_ID,
                   fmt::format("{} is given twice: {}", field, id), {{"field", field}});
    }
    const auto& disks = instance.spec().data_disks();
    const bool has = std::any_of(disks.begin(), disks.end(),
                                 [&](const v1::DiskSpec& disk) { return disk.id() == id; });
    if (!has || instance.lifecycle() == v1::LIFECYCLE_LAUNCH_FAILED) {
      return InvalidField(field, fmt::format("{} is no data disk of {}", id, instance.id()));
    }
  }
  return absl::OkStatus();
}

// With those that were to be kept when the recycle period began.
void AddKeptBefore(const v1::RecyclePeriod& period, v1::DeleteInstanceRequest& request) {
  for (const std::string& id : period.keep_disk_ids()) {
    const auto& asked = request.keep_disk_ids();
    if (std::find(asked.begin(), asked.end(), id) == asked.end()) request.add_keep_disk_ids(id);
  }
}

Step CutPowerStep(const Core& core, const std::string& id) {
  // A cancel gives a guest that was on back as it was.
  Step step = PowerOffForChangeStep(core, id, 30);
  step.should_run = nullptr;
  step.run = [&core, id](StepContext& context) -> absl::StatusOr<StepResult> {
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
    CVM_RETURN_IF_ERROR(EnsureOff(core, *instance));
    context.change().UpdateInstance(
        id, [](v1::Instance& changed) { changed.set_wanted_power(v1::WANTED_POWER_OFF); });
    return StepResult::Done();
  };
  step.undo = [id, undo = step.undo](StepContext& context) -> absl::Status {
    CVM_RETURN_IF_ERROR(undo(context));
    if (!context.Note(kWantedOnNote).empty()) {
      context.change().UpdateInstance(
          id, [](v1::Instance& changed) { changed.set_wanted_power(v1::WANTED_POWER_ON); });
    }
    return absl::OkStatus();
  };
  return step;
}

Step RecycleStep(const Core& core, const v1::DeleteInstanceRequest& request) {
  return {
      .name = "beginning the recycle period",
      .percent = 100,
      .run = [&core, request](StepContext& context) -> absl::StatusOr<StepResult> {
        const auto recycle = [request, now = core.clock.Now()](v1::Instance& changed) {
          changed.set_lifecycle(v1::LIFECYCLE_RECYCLED);
          v1::RecyclePeriod& period = *changed.mutable_recycle();
          *period.mutable_begin_time() = ToTimestamp(now);
          *period.mutable_length() = request.recycle_period();
          *period.mutable_keep_disk_ids() = request.keep_disk_ids();
        };
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance,
                             RequireInstance(core, request.instance_id()));
        CVM_RETURN_IF_ERROR(WriteMetadata(core, *instance, recycle));
        context.change().UpdateInstance(request.instance_id(), recycle);
        return StepResult::Done();
      },
      .undo = [&core, id = request.instance_id()](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(id);
        if (instance == nullptr) return absl::OkStatus();
        return WriteMetadata(core, *instance, [](v1::Instance&) {});
      },
  };
}

Step UndefineStep(const Core& core, const std::string& id) {
  return {
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
  };
}

Step RemoveStep(const Core& core, const v1::DeleteInstanceRequest& request) {
  const std::set<std::string> keep(request.keep_disk_ids().begin(), request.keep_disk_ids().end());
  return {
      .name = "removing the disks",
      .percent = 100,
      .run = [&core, id = request.instance_id(),
              keep](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        if (context.Note(kHoldsNothingNote).empty()) {
          // The disks of an adopted instance are somebody else's.
          if (!instance->adopted()) {
            CVM_RETURN_IF_ERROR(RemoveDisks(core.paths, *instance, [&](const std::string& disk) {
              return keep.contains(disk);
            }));
          }
          for (const v1::DiskSpec& disk : instance->spec().data_disks()) {
            if (!keep.contains(disk.id())) continue;
            context.change().put_volumes.push_back(KeepAsVolume(*instance, disk, core.clock.Now()));
          }
        }
        CVM_RETURN_IF_ERROR(RemoveInstanceFolder(core.paths, id));
        context.change().erase_instances.push_back(id);
        return StepResult::Done();
      },
      .forward_only = true,
  };
}

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
  CVM_RETURN_IF_ERROR(CheckKeep(request, *instance));
  auto filled = std::make_unique<v1::DeleteInstanceRequest>(request);
  if (!request.has_recycle_period()) {
    *filled->mutable_recycle_period() = ToProtoDuration(core.config.operations.recycle_period);
  }
  // Nothing is left to restore, or it has been restorable already.
  if (instance->lifecycle() != v1::LIFECYCLE_PRESENT) filled->clear_recycle_period();
  AddKeptBefore(instance->recycle(), *filled);
  Plan plan = PlanFor(*instance, v1::Operation::DELETE_INSTANCE, std::move(filled));
  if (IsOn(instance->observed_power().state())) plan.notes[kWasOnNote] = "1";
  if (instance->wanted_power() == v1::WANTED_POWER_ON) plan.notes[kWantedOnNote] = "1";
  if (instance->lifecycle() == v1::LIFECYCLE_LAUNCH_FAILED) plan.notes[kHoldsNothingNote] = "1";
  return plan;
}

Workflow DeleteInstanceWorkflow(const Core& core, const v1::DeleteInstanceRequest& request) {
  Workflow workflow;
  workflow.steps.push_back(CutPowerStep(core, request.instance_id()));
  if (FromProtoDuration(request.recycle_period()) > absl::ZeroDuration()) {
    workflow.steps.push_back(RecycleStep(core, request));
    return workflow;
  }
  workflow.steps.push_back(UndefineStep(core, request.instance_id()));
  workflow.steps.push_back(RemoveStep(core, request));
  return workflow;
}

}  // namespace cvm::agent::core
