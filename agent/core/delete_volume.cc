// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_files.h"
#include "agent/core/planning.h"
#include "agent/core/volumes.h"
#include "agent/core/workflows.h"
#include "common/status_macros.h"

namespace cvm::agent::core {

absl::StatusOr<Plan> PlanDeleteVolume(const Core& core, const v1::DeleteVolumeRequest& request) {
  CVM_ASSIGN_OR_RETURN(v1::Volume volume, FindVolume(core, request.volume_id()));
  CVM_RETURN_IF_ERROR(RequireEtag(request.etag(), volume.etag()));
  if (volume.state() == v1::Volume::IN_USE) return VolumeInUse(volume);
  Plan plan;
  plan.action = v1::Operation::DELETE_VOLUME;
  plan.target_id = volume.id();
  plan.request = std::make_unique<v1::DeleteVolumeRequest>(request);
  // From here no instance can be made with it.
  volume.set_state(v1::Volume::DELETING);
  plan.change.put_volumes.push_back(std::move(volume));
  return plan;
}

Workflow DeleteVolumeWorkflow(const Core& core, const v1::DeleteVolumeRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = "removing the volume",
      .percent = 100,
      .run = [&core, id = request.volume_id()](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_RETURN_IF_ERROR(RemoveDisk(core.paths, id));
        context.change().erase_volumes.push_back(id);
        return StepResult::Done();
      },
      .forward_only = true,
  });
  return workflow;
}

}  // namespace cvm::agent::core
