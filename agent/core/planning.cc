// SPDX-License-Identifier: Apache-2.0
#include "agent/core/planning.h"

#include "agent/core/action_policy.h"
#include "agent/core/derive_state.h"
#include "agent/core/power_monitor.h"
#include "agent/core/power_steps.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {

absl::StatusOr<InstancePtr> FindInstance(const Core& core, const std::string& id) {
  CVM_RETURN_IF_ERROR(CheckId("instance_id", kInstancePrefix, id));
  return RequireInstance(core, id);
}

absl::Status CheckAction(const Core& core, const v1::Instance& instance,
                         v1::Operation::Action action) {
  return CheckAction(instance, action, core.power.connection().message);
}

absl::Status RequireConnected(const Core& core) {
  const PowerMonitor::Connection connection = core.power.connection();
  if (connection.connected && core.power.ready()) return absl::OkStatus();
  if (connection.connected) {
    return Error(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE,
                 "the host's domains are still being compared with the records: try again");
  }
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE,
               fmt::format("libvirt cannot be asked: {}", connection.message));
}

absl::Status RequireEtag(const std::string& given, const std::string& present) {
  if (given.empty() || given == present) return absl::OkStatus();
  return Error(ErrorReason::ERROR_REASON_ETAG_MISMATCH,
               "it has changed since the etag was read: read it again", {{"field", "etag"}});
}

Plan PlanFor(const v1::Instance& instance, v1::Operation::Action action,
             std::unique_ptr<google::protobuf::Message> request) {
  Plan plan;
  plan.action = action;
  plan.target_id = instance.id();
  plan.target_was_busy = IsBusy(instance);
  plan.request = std::move(request);
  return plan;
}

}  // namespace cvm::agent::core
