// SPDX-License-Identifier: Apache-2.0
#include "agent/core/workflows.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace cvm::agent::core {

Workflow DeleteImageWorkflow(const Core& core, const v1::DeleteImageRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = "removing the image",
      .percent = 100,
      .run = [&core, id = request.image_id()](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_RETURN_IF_ERROR(RemoveFile(core.paths.Image(id)));
        context.change().erase_images.push_back(id);
        return StepResult::Done();
      },
      .forward_only = true,
  });
  return workflow;
}

}  // namespace cvm::agent::core
