// SPDX-License-Identifier: Apache-2.0
//
// CreateInstance: disks, config drive, definition, start. The instance's record was written down
// with the operation, with every id, MAC and address chosen.
#include <algorithm>

#include "agent/core/domain_builder.h"
#include "agent/core/host_capacity.h"
#include "agent/core/instance_files.h"
#include "agent/core/instance_size.h"
#include "agent/core/maintenance.h"
#include "agent/core/networks.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/validation.h"
#include "agent/core/volumes.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30;

uint64_t Minus(uint64_t from, uint64_t what) { return from > what ? from - what : 0; }

// What is not given comes from the image.
void FillProperties(const v1::GuestProperties& image, v1::GuestProperties& properties) {
  v1::GuestProperties merged = image;
  merged.MergeFrom(properties);
  properties = merged;
}

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
    // A volume that is used again has its file, and what is on it.
    if (IsVolume(core, spec.data_disks(i).id())) continue;
    CVM_RETURN_IF_ERROR(core.disk_images.CreateEmpty(core.paths.Volume(spec.data_disks(i).id()),
                                                     spec.data_disks(i).size_bytes()));
  }
  return StepResult::Done();
}

absl::StatusOr<StepResult> MakeConfigDrive(const Core& core, const std::string& id) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
  CVM_ASSIGN_OR_RETURN(const InstanceSecrets secrets, core.ledger.store().LoadSecrets(id));
  CVM_RETURN_IF_ERROR(
      WriteConfigDrive(core.paths.ConfigDrive(id, instance->config_drive_generation()),
                       BuildGuestSettings(core.config, *instance, secrets)));
  return StepResult::Done();
}

absl::StatusOr<StepResult> Define(const Core& core, const std::string& id, StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr present, RequireInstance(core, id));
  v1::Instance instance = *present;
  if (instance.spec().machine_type().empty()) {
    // Pinned now, so that an upgrade of QEMU does not change this guest's hardware.
    CVM_ASSIGN_OR_RETURN(const std::string machine,
                         NewestMachineType(core, instance.spec().properties()));
    instance.mutable_spec()->set_machine_type(machine);
    context.change().UpdateInstance(id, [machine](v1::Instance& changed) {
      changed.mutable_spec()->set_machine_type(machine);
    });
  }
  CVM_RETURN_IF_ERROR(core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, instance)));
  return StepResult::Done();
}

// What was asked for must be possible on this host; what was not asked for is chosen so.
absl::Status CheckMaxima(const Core& core, v1::InstanceSpec& spec) {
  CVM_RETURN_IF_ERROR(CheckCapacity(core, {.vcpus = spec.max_vcpus(),
                                           .memory_mib = spec.max_memory_mib(),
                                           .disk_bytes = 0,
                                           .starts = false}));
  CVM_ASSIGN_OR_RETURN(const hypervisor::HostInfo host, core.hypervisor.GetHostInfo());
  FillMaxima(core.config.limits, host, spec);
  return absl::OkStatus();
}

// Chooses the disks' ids and the sizes of those that are volumes; `change` takes the volumes for
// the instance. Returns how much of the disks the host has promised already, as those volumes.
absl::StatusOr<uint64_t> PlanDisks(const Core& core, const std::vector<InstancePtr>& others,
                                   const std::string& instance_id, v1::InstanceSpec& spec,
                                   LedgerChange& change) {
  const auto belongs_to_another = [&](const std::string& id) {
    return std::any_of(others.begin(), others.end(), [&](const InstancePtr& other) {
      if (other->spec().system_disk().id() == id) return true;
      const auto& disks = other->spec().data_disks();
      return std::any_of(disks.begin(), disks.end(),
                         [&](const v1::DiskSpec& disk) { return disk.id() == id; });
    });
  };
  const auto choose_id = [&](v1::DiskSpec& disk) -> absl::Status {
    if (disk.id().empty()) {
      do {
        disk.set_id(MakeId(kDiskPrefix, core.random));
      } while (belongs_to_another(disk.id()) || IsVolume(core, disk.id()));
    } else if (belongs_to_another(disk.id())) {
      return Error(ErrorReason::ERROR_REASON_DUPLICATE_ID,
                   fmt::format("disk {} belongs to another instance", disk.id()),
                   {{"field", "spec.disks"}});
    }
    return absl::OkStatus();
  };
  if (IsVolume(core, spec.system_disk().id())) {
    return Error(
        ErrorReason::ERROR_REASON_DUPLICATE_ID,
        fmt::format("disk {} is a volume: it can only be a data disk", spec.system_disk().id()),
        {{"field", "spec.system_disk.id"}});
  }
  CVM_RETURN_IF_ERROR(choose_id(*spec.mutable_system_disk()));
  uint64_t promised = 0;
  for (int i = 0; i < spec.data_disks_size(); ++i) {
    v1::DiskSpec& disk = *spec.mutable_data_disks(i);
    std::optional<v1::Volume> volume = core.ledger.volumes().Find(disk.id());
    const std::string field = fmt::format("spec.data_disks[{}].size_bytes", i);
    if (!volume) {
      CVM_RETURN_IF_ERROR(choose_id(disk));
      if (disk.size_bytes() == 0) return MissingField(field);
      continue;
    }
    if (volume->state() != v1::Volume::AVAILABLE) return VolumeInUse(*volume);
    if (disk.size_bytes() == 0) disk.set_size_bytes(volume->size_bytes());
    if (disk.size_bytes() != volume->size_bytes()) {
      return InvalidField(field, fmt::format("volume {} has {} bytes: say 0, or the same",
                                             volume->id(), volume->size_bytes()));
    }
    promised += volume->size_bytes();
    volume->set_state(v1::Volume::IN_USE);
    volume->set_instance_id(instance_id);
    change.put_volumes.push_back(*std::move(volume));
  }
  return promised;
}

// The volumes that the operation's plan took for the instance.
std::vector<v1::Volume> VolumesOf(const Core& core, const std::string& instance_id) {
  std::vector<v1::Volume> volumes;
  for (v1::Volume& volume : core.ledger.volumes().All()) {
    if (volume.state() == v1::Volume::IN_USE && volume.instance_id() == instance_id) {
      volumes.push_back(std::move(volume));
    }
  }
  return volumes;
}

// With the end of this step the volumes are the instance's own disks.
void TakeVolumesOver(const Core& core, const std::string& id, Step& step) {
  step.run = [&core, id,
              run = std::move(step.run)](StepContext& context) -> absl::StatusOr<StepResult> {
    CVM_ASSIGN_OR_RETURN(const StepResult result, run(context));
    if (result.done()) {
      for (const v1::Volume& volume : VolumesOf(core, id)) {
        context.change().erase_volumes.push_back(volume.id());
      }
    }
    return result;
  };
}

}  // namespace

absl::StatusOr<Plan> PlanCreateInstance(const Core& core, const v1::CreateInstanceRequest& asked) {
  v1::CreateInstanceRequest request = asked;
  CVM_RETURN_IF_ERROR(ValidateCreate(request));
  CVM_RETURN_IF_ERROR(CheckMaintenance(core));
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  const InstanceTable& instances = core.ledger.instances();
  const std::vector<InstancePtr> others = instances.All();
  if (others.size() >= static_cast<size_t>(core.config.limits.max_instances)) {
    return Error(ErrorReason::ERROR_REASON_TOO_MANY_INSTANCES,
                 fmt::format("this host takes {} instances", core.config.limits.max_instances),
                 {{"limit", std::to_string(core.config.limits.max_instances)}});
  }
  if (request.instance_id().empty()) {
    do {
      request.set_instance_id(MakeId(kInstancePrefix, core.random));
    } while (instances.Find(request.instance_id()) != nullptr);
  } else if (instances.Find(request.instance_id()) != nullptr) {
    return Error(ErrorReason::ERROR_REASON_INSTANCE_EXISTS,
                 fmt::format("there is an instance {} already", request.instance_id()),
                 {{"instance_id", request.instance_id()}});
  }
  v1::InstanceSpec& spec = *request.mutable_spec();

  CVM_ASSIGN_OR_RETURN(const v1::Image image,
                       FindReadyImage(core, spec.image_id(), "spec.image_id"));
  FillProperties(image.properties(), *spec.mutable_properties());
  if (spec.name().empty()) spec.set_name(request.instance_id());
  if (spec.host_name().empty()) spec.set_host_name(request.instance_id());
  CVM_RETURN_IF_ERROR(ValidateForGuest(spec));

  // Disks.
  v1::DiskSpec& system_disk = *spec.mutable_system_disk();
  if (system_disk.size_bytes() == 0) {
    system_disk.set_size_bytes(
        std::max(image.virtual_size_bytes(),
                 static_cast<uint64_t>(core.config.limits.default_system_disk_gib) * kGib));
  } else if (system_disk.size_bytes() < image.virtual_size_bytes()) {
    return Error(ErrorReason::ERROR_REASON_DISK_TOO_SMALL,
                 fmt::format("the system disk has {} bytes, the image needs {}",
                             system_disk.size_bytes(), image.virtual_size_bytes()),
                 {{"field", "spec.system_disk.size_bytes"},
                  {"limit", std::to_string(image.virtual_size_bytes())}});
  }
  Plan plan;
  CVM_ASSIGN_OR_RETURN(const uint64_t promised,
                       PlanDisks(core, others, request.instance_id(), spec, plan.change));

  CVM_RETURN_IF_ERROR(AssignNics(core.config, others, core.random, spec));
  const bool start = request.start() != v1::CreateInstanceRequest::START_NO;
  CVM_RETURN_IF_ERROR(CheckCapacity(core, {.vcpus = spec.vcpus(),
                                           .memory_mib = spec.memory_mib(),
                                           .disk_bytes = Minus(DiskBytes(spec), promised),
                                           .starts = start}));
  CVM_RETURN_IF_ERROR(CheckMaxima(core, spec));

  v1::Instance instance;
  instance.set_id(request.instance_id());
  instance.set_uuid(MakeUuid(core.random));
  instance.set_owner(request.owner());
  instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
  instance.set_wanted_power(start ? v1::WANTED_POWER_ON : v1::WANTED_POWER_OFF);
  instance.mutable_observed_power()->set_state(v1::ObservedPower::ABSENT);
  instance.mutable_observed_power()->set_reason("not-defined-yet");
  *instance.mutable_observed_power()->mutable_observed_at() = ToTimestamp(core.clock.Now());
  *instance.mutable_create_time() = ToTimestamp(core.clock.Now());
  instance.set_config_drive_generation(1);
  InstanceSecrets secrets{.password_hash = spec.login().password_hash(),
                          .user_data = spec.user_data()};
  *instance.mutable_spec() = spec;
  const absl::Status told =
      cloudinit::ValidateGuestSettings(BuildGuestSettings(core.config, instance, secrets));
  if (!told.ok()) return InvalidField("spec", std::string(told.message()));
  instance.mutable_spec()->mutable_login()->clear_password_hash();
  instance.mutable_spec()->clear_user_data();

  plan.action = v1::Operation::CREATE_INSTANCE;
  plan.target_id = request.instance_id();
  if (!secrets.password_hash.empty() || !secrets.user_data.empty()) {
    plan.change.put_secrets.emplace_back(instance.id(), std::move(secrets));
  }
  plan.change.new_instances.push_back(std::move(instance));
  plan.request = std::make_unique<v1::CreateInstanceRequest>(std::move(request));
  return plan;
}

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
        if (instance == nullptr) return absl::OkStatus();
        return RemoveDisks(core.paths, *instance,
                           [&core](const std::string& disk) { return IsVolume(core, disk); });
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
  TakeVolumesOver(core, id, workflow.steps.back());
  workflow.on_failed = [&core, id](LedgerChange& change) {
    // The record stays as LAUNCH_FAILED, to say why, and holds nothing.
    change.UpdateInstance(id, [](v1::Instance& instance) {
      instance.set_lifecycle(v1::LIFECYCLE_LAUNCH_FAILED);
      instance.set_wanted_power(v1::WANTED_POWER_OFF);
      instance.mutable_observed_power()->set_state(v1::ObservedPower::ABSENT);
      instance.mutable_observed_power()->set_reason("launch-failed");
    });
    change.put_secrets.emplace_back(id, InstanceSecrets{});
    for (v1::Volume& volume : VolumesOf(core, id)) {
      volume.set_state(v1::Volume::AVAILABLE);
      volume.clear_instance_id();
      change.put_volumes.push_back(std::move(volume));
    }
  };
  return workflow;
}

}  // namespace cvm::agent::core
