// SPDX-License-Identifier: Apache-2.0
//
// CreateInstance: disks, config drive, definition, start. The instance's record was written down
// with the operation, with every id, MAC and address chosen.
#include <filesystem>

#include "agent/core/domain_builder.h"
#include "agent/core/instance_files.h"
#include "agent/core/power_steps.h"
#include "agent/core/workflows.h"
#include "cloudinit/config_drive.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace cvm::agent::core {
namespace {

absl::StatusOr<StepResult> MakeDisks(const Core& core, const std::string& id,
                                     StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
  const v1::InstanceSpec& spec = instance->spec();
  const double steps = 1 + spec.data_disks_size();
  CVM_RETURN_IF_ERROR(core.disk_images.CreateOverlay(core.paths.Volume(spec.system_disk().id()),
                                                     core.paths.Image(spec.image_id()),
                                                     spec.system_disk().size_bytes()));
  for (int i = 0; i < spec.data_disks_size(); ++i) {
    if (context.Cancelled()) {
      return Error(ErrorReason::ERROR_REASON_OPERATION_CANCELLED, "cancelled on request");
    }
    context.Progress((i + 1) / steps);
    CVM_RETURN_IF_ERROR(core.disk_images.CreateEmpty(core.paths.Volume(spec.data_disks(i).id()),
                                                     spec.data_disks(i).size_bytes()));
  }
  return StepResult::Done();
}

absl::StatusOr<StepResult> MakeConfigDrive(const Core& core, const std::string& id) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
  CVM_ASSIGN_OR_RETURN(const InstanceSecrets secrets, core.ledger.store().LoadSecrets(id));
  CVM_ASSIGN_OR_RETURN(const std::string iso, cloudinit::BuildConfigDrive(BuildGuestSettings(
                                                  core.config, *instance, secrets)));
  CVM_RETURN_IF_ERROR(MakeFolders(core.paths.Instance(id), 0711));
  // Holds the password hash: for root, and for QEMU's user, to whom libvirt gives it.
  CVM_RETURN_IF_ERROR(WriteFileAtomically(
      core.paths.ConfigDrive(id, instance->config_drive_generation()), iso, 0600));
  return StepResult::Done();
}

absl::StatusOr<StepResult> Define(const Core& core, const std::string& id, StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr present, RequireInstance(core, id));
  v1::Instance instance = *present;
  if (instance.spec().machine_type().empty()) {
    // Pinned now, so that an upgrade of QEMU does not change this guest's hardware.
    const auto family = instance.spec().properties().machine_family() == v1::MACHINE_FAMILY_PC
                            ? hypervisor::MachineFamily::kPc
                            : hypervisor::MachineFamily::kQ35;
    CVM_ASSIGN_OR_RETURN(const std::string machine, core.hypervisor.ResolveMachineType(family));
    instance.mutable_spec()->set_machine_type(machine);
    context.change().UpdateInstance(id, [machine](v1::Instance& changed) {
      changed.mutable_spec()->set_machine_type(machine);
    });
  }
  CVM_RETURN_IF_ERROR(core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, instance)));
  return StepResult::Done();
}

}  // namespace

Workflow CreateInstanceWorkflow(const Core& core, const v1::CreateInstanceRequest& request) {
  const std::string& id = request.instance_id();
  const bool start = request.start() != v1::CreateInstanceRequest::START_NO;
  Workflow workflow;
  workflow.steps.push_back({
      .name = "making the disks",
      .percent = 20,
      .run = [&core, id](StepContext& context) { return MakeDisks(core, id, context); },
      .undo = [&core, id](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(id);
        return instance == nullptr ? absl::OkStatus() : RemoveDisks(core.paths, *instance);
      },
  });
  workflow.steps.push_back({
      .name = "making the config drive",
      .percent = 30,
      .run = [&core, id](StepContext&) { return MakeConfigDrive(core, id); },
      .undo = [&core, id](StepContext&) { return RemoveInstanceFolder(core.paths, id); },
  });
  workflow.steps.push_back({
      .name = "defining the guest",
      .percent = 50,
      .run = [&core, id](StepContext& context) { return Define(core, id, context); },
      .undo = [&core, id](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(id);
        return instance == nullptr ? absl::OkStatus()
                                   : core.hypervisor.UndefineDomain(instance->uuid());
      },
  });
  if (start) workflow.steps.push_back(StartDomainStep(core, id, 100));
  workflow.steps.back().percent = 100;
  workflow.on_failed = [id](LedgerChange& change) {
    // The record stays as LAUNCH_FAILED, to say why, and holds nothing.
    change.UpdateInstance(id, [](v1::Instance& instance) {
      instance.set_lifecycle(v1::LIFECYCLE_LAUNCH_FAILED);
      instance.set_wanted_power(v1::WANTED_POWER_OFF);
      instance.mutable_observed_power()->set_state(v1::ObservedPower::ABSENT);
      instance.mutable_observed_power()->set_reason("launch-failed");
    });
    change.put_secrets.emplace_back(id, InstanceSecrets{});
  };
  return workflow;
}

}  // namespace cvm::agent::core
