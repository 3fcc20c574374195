// SPDX-License-Identifier: Apache-2.0
#include "agent/core/power_steps.h"
#include "agent/core/workflows.h"

namespace cvm::agent::core {

Workflow StartInstanceWorkflow(const Core& core, const v1::StartInstanceRequest& request) {
  Workflow workflow;
  workflow.steps.push_back(StartDomainStep(core, request.instance_id(), 100));
  workflow.on_failed = [id = request.instance_id()](LedgerChange& change) {
    change.UpdateInstance(
        id, [](v1::Instance& instance) { instance.set_wanted_power(v1::WANTED_POWER_OFF); });
  };
  return workflow;
}

}  // namespace cvm::agent::core
