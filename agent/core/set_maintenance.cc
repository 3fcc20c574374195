// SPDX-License-Identifier: Apache-2.0
#include "agent/core/host_manager.h"
#include "agent/core/maintenance.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

constexpr size_t kMaxReason = 255;

}  // namespace

v1::Host::Maintenance GetMaintenance(const Core& core) {
  v1::Host::Maintenance maintenance;
  if (!maintenance.ParseFromString(core.ledger.settings().Get(kMaintenanceSetting))) {
    // A host whose setting cannot be read takes no guest until somebody has looked.
    maintenance.set_on(true);
    maintenance.set_reason("the setting cannot be read: set it anew");
  }
  return maintenance;
}

absl::Status CheckMaintenance(const Core& core) {
  const v1::Host::Maintenance maintenance = GetMaintenance(core);
  if (!maintenance.on()) return absl::OkStatus();
  const std::string& reason = maintenance.reason();
  return Error(ErrorReason::ERROR_REASON_HOST_IN_MAINTENANCE,
               fmt::format("the host is in maintenance{}{}: no guest comes up until that ends",
                           reason.empty() ? "" : ": ", reason),
               {{"reason", reason}});
}

absl::StatusOr<Plan> PlanSetMaintenance(const Core&, const v1::SetMaintenanceRequest& request) {
  CVM_RETURN_IF_ERROR(CheckText("reason", request.reason(), 0, kMaxReason));
  if (!request.on() && !request.reason().empty()) {
    return InvalidField("reason", "is for turning maintenance on: leave it empty");
  }
  Plan plan;
  plan.action = v1::Operation::SET_MAINTENANCE;
  plan.target_id = kHostTarget;
  plan.request = std::make_unique<v1::SetMaintenanceRequest>(request);
  return plan;
}

Workflow SetMaintenanceWorkflow(const Core& core, const v1::SetMaintenanceRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = request.on() ? "beginning maintenance" : "ending maintenance",
      .percent = 100,
      .run = [&core, request](StepContext& context) -> absl::StatusOr<StepResult> {
        v1::Host::Maintenance maintenance = GetMaintenance(core);
        if (maintenance.on() != request.on() || !maintenance.has_since()) {
          *maintenance.mutable_since() = ToTimestamp(core.clock.Now());
        }
        maintenance.set_on(request.on());
        maintenance.set_reason(request.reason());
        context.change().put_settings.emplace_back(kMaintenanceSetting,
                                                   maintenance.SerializeAsString());
        CVM_LOG_INFO("maintenance is {}", request.on() ? "on" : "off");
        return StepResult::Done();
      },
      .forward_only = true,
  });
  return workflow;
}

}  // namespace cvm::agent::core
