// SPDX-License-Identifier: Apache-2.0
#include "agent/core/planning.h"

#include <algorithm>
#include <optional>

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

absl::StatusOr<v1::Image> FindReadyImage(const Core& core, const std::string& id,
                                         const std::string& field) {
  if (id.empty()) return MissingField(field);
  std::optional<v1::Image> image = core.ledger.images().Find(id);
  const ErrorMetadata metadata = {{"field", field}, {"image_id", id}};
  if (!image) {
    return Error(ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND,
                 fmt::format("there is no image {} on this host: import it first", id), metadata);
  }
  if (image->state() != v1::Image::READY) {
    return Error(ErrorReason::ERROR_REASON_IMAGE_NOT_READY,
                 fmt::format("image {} is {}", id, v1::Image::State_Name(image->state())),
                 metadata);
  }
  return *std::move(image);
}

std::string NewDiskId(const Core& core) {
  const std::vector<InstancePtr> instances = core.ledger.instances().All();
  const auto taken = [&](const std::string& id) {
    return std::any_of(instances.begin(), instances.end(), [&](const InstancePtr& instance) {
      const v1::InstanceSpec& spec = instance->spec();
      return spec.system_disk().id() == id || instance->rescue().disk().id() == id ||
             std::any_of(spec.data_disks().begin(), spec.data_disks().end(),
                         [&](const v1::DiskSpec& disk) { return disk.id() == id; });
    });
  };
  std::string id;
  do {
    id = MakeId(kDiskPrefix, core.random);
  } while (taken(id));
  return id;
}

absl::StatusOr<std::string> NewestMachineType(const Core& core,
                                              const v1::GuestProperties& properties) {
  return core.hypervisor.ResolveMachineType(properties.machine_family() == v1::MACHINE_FAMILY_PC
                                                ? hypervisor::MachineFamily::kPc
                                                : hypervisor::MachineFamily::kQ35);
}

absl::Status RequireOffOrForce(const v1::Instance& instance, bool force_stop) {
  if (force_stop || !IsOn(instance.observed_power().state())) return absl::OkStatus();
  return Error(
      ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
      fmt::format("{} is on: stop it first, or say force_stop", instance.id()),
      {{"instance_id", instance.id()}, {"state", v1::InstanceState_Name(instance.state())}});
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
