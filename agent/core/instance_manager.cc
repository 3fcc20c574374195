// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_manager.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "agent/core/action_policy.h"
#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/host_capacity.h"
#include "agent/core/networks.h"
#include "agent/core/paging.h"
#include "agent/core/power_monitor.h"
#include "agent/core/power_steps.h"
#include "agent/core/validation.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using v1::ObservedPower;
using v1::Operation;

constexpr uint64_t kGib = uint64_t{1} << 30;
constexpr absl::Duration kMaxRecyclePeriod = absl::Hours(24 * 365);

// What is not given comes from the image.
void FillProperties(const v1::GuestProperties& image, v1::GuestProperties& properties) {
  v1::GuestProperties merged = image;
  merged.MergeFrom(properties);
  properties = merged;
}

absl::Status RequireConnected(const Core& core) {
  const PowerMonitor::Connection connection = core.power.connection();
  if (connection.connected) return absl::OkStatus();
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE,
               fmt::format("libvirt cannot be asked: {}", connection.message));
}

absl::Status RequireEtag(const std::string& given, const std::string& present) {
  if (given.empty() || given == present) return absl::OkStatus();
  return Error(ErrorReason::ERROR_REASON_ETAG_MISMATCH,
               "it has changed since the etag was read: read it again", {{"field", "etag"}});
}

// What is the same in every plan for an instance that exists.
Plan PlanFor(const v1::Instance& instance, Operation::Action action,
             std::unique_ptr<google::protobuf::Message> request) {
  Plan plan;
  plan.action = action;
  plan.target_id = instance.id();
  plan.target_was_busy = IsBusy(instance);
  plan.request = std::move(request);
  return plan;
}

// The request with what a soft stop or reboot takes when the caller says nothing.
template <class Request>
std::unique_ptr<Request> WithSoftDefaults(const Request& request, const Config& config) {
  auto filled = std::make_unique<Request>(request);
  if (filled->mode() == v1::STOP_MODE_UNSPECIFIED) filled->set_mode(v1::STOP_MODE_SOFT);
  if (!filled->has_timeout()) {
    *filled->mutable_timeout() = ToProtoDuration(config.operations.soft_stop_timeout);
  }
  return filled;
}

}  // namespace

absl::StatusOr<Operation> InstanceManager::Create(const Caller& caller,
                                                  const v1::CreateInstanceRequest& request) {
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(),
                        [&] { return PlanCreate(request); });
}

absl::StatusOr<Plan> InstanceManager::PlanCreate(v1::CreateInstanceRequest request) const {
  CVM_RETURN_IF_ERROR(ValidateCreate(request));
  CVM_RETURN_IF_ERROR(RequireConnected(core_));
  const InstanceTable& instances = core_.ledger.instances();
  const std::vector<InstancePtr> others = instances.All();
  if (others.size() >= static_cast<size_t>(core_.config.limits.max_instances)) {
    return Error(ErrorReason::ERROR_REASON_TOO_MANY_INSTANCES,
                 fmt::format("this host takes {} instances", core_.config.limits.max_instances),
                 {{"limit", std::to_string(core_.config.limits.max_instances)}});
  }
  if (request.instance_id().empty()) {
    do {
      request.set_instance_id(MakeId(kInstancePrefix, core_.random));
    } while (instances.Find(request.instance_id()) != nullptr);
  } else if (instances.Find(request.instance_id()) != nullptr) {
    return Error(ErrorReason::ERROR_REASON_INSTANCE_EXISTS,
                 fmt::format("there is an instance {} already", request.instance_id()),
                 {{"instance_id", request.instance_id()}});
  }
  v1::InstanceSpec& spec = *request.mutable_spec();

  const std::optional<v1::Image> image = core_.ledger.images().Find(spec.image_id());
  if (!image) {
    return Error(ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND,
                 fmt::format("there is no image {} on this host", spec.image_id()),
                 {{"field", "spec.image_id"}});
  }
  if (image->state() != v1::Image::READY) {
    return Error(
        ErrorReason::ERROR_REASON_IMAGE_NOT_READY,
        fmt::format("image {} is {}", spec.image_id(), v1::Image::State_Name(image->state())),
        {{"field", "spec.image_id"}});
  }
  FillProperties(image->properties(), *spec.mutable_properties());
  if (spec.name().empty()) spec.set_name(request.instance_id());
  if (spec.host_name().empty()) spec.set_host_name(request.instance_id());
  CVM_RETURN_IF_ERROR(ValidateForGuest(spec));

  // Disks.
  v1::DiskSpec& system_disk = *spec.mutable_system_disk();
  if (system_disk.size_bytes() == 0) {
    system_disk.set_size_bytes(
        std::max(image->virtual_size_bytes(),
                 static_cast<uint64_t>(core_.config.limits.default_system_disk_gib) * kGib));
  } else if (system_disk.size_bytes() < image->virtual_size_bytes()) {
    return Error(ErrorReason::ERROR_REASON_DISK_TOO_SMALL,
                 fmt::format("the system disk has {} bytes, the image needs {}",
                             system_disk.size_bytes(), image->virtual_size_bytes()),
                 {{"field", "spec.system_disk.size_bytes"},
                  {"limit", std::to_string(image->virtual_size_bytes())}});
  }
  const auto disk_taken = [&](const std::string& id) {
    return std::any_of(others.begin(), others.end(), [&](const InstancePtr& other) {
      if (other->spec().system_disk().id() == id) return true;
      const auto& disks = other->spec().data_disks();
      return std::any_of(disks.begin(), disks.end(),
                         [&](const v1::DiskSpec& disk) { return disk.id() == id; });
    });
  };
  std::vector<v1::DiskSpec*> disks = {&system_disk};
  for (v1::DiskSpec& disk : *spec.mutable_data_disks()) disks.push_back(&disk);
  for (v1::DiskSpec* disk : disks) {
    if (disk->id().empty()) {
      do {
        disk->set_id(MakeId(kDiskPrefix, core_.random));
      } while (disk_taken(disk->id()));
    } else if (disk_taken(disk->id())) {
      return Error(ErrorReason::ERROR_REASON_DUPLICATE_ID,
                   fmt::format("disk {} belongs to another instance", disk->id()),
                   {{"field", "spec.disks"}});
    }
  }

  CVM_RETURN_IF_ERROR(AssignNics(core_.config, others, core_.random, spec));
  const bool start = request.start() != v1::CreateInstanceRequest::START_NO;
  CVM_RETURN_IF_ERROR(CheckCapacity(core_, {.vcpus = spec.vcpus(),
                                            .memory_mib = spec.memory_mib(),
                                            .disk_bytes = DiskBytes(spec),
                                            .starts = start}));

  v1::Instance instance;
  instance.set_id(request.instance_id());
  instance.set_uuid(MakeUuid(core_.random));
  instance.set_owner(request.owner());
  instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
  instance.set_wanted_power(start ? v1::WANTED_POWER_ON : v1::WANTED_POWER_OFF);
  instance.mutable_observed_power()->set_state(ObservedPower::ABSENT);
  instance.mutable_observed_power()->set_reason("not-defined-yet");
  *instance.mutable_observed_power()->mutable_observed_at() = ToTimestamp(core_.clock.Now());
  *instance.mutable_create_time() = ToTimestamp(core_.clock.Now());
  instance.set_config_drive_generation(1);
  InstanceSecrets secrets{.password_hash = spec.login().password_hash(),
                          .user_data = spec.user_data()};
  *instance.mutable_spec() = spec;
  const absl::Status told =
      cloudinit::ValidateGuestSettings(BuildGuestSettings(core_.config, instance, secrets));
  if (!told.ok()) return InvalidField("spec", std::string(told.message()));
  instance.mutable_spec()->mutable_login()->clear_password_hash();
  instance.mutable_spec()->clear_user_data();

  Plan plan;
  plan.action = Operation::CREATE_INSTANCE;
  plan.target_id = request.instance_id();
  if (!secrets.password_hash.empty() || !secrets.user_data.empty()) {
    plan.change.put_secrets.emplace_back(instance.id(), std::move(secrets));
  }
  plan.change.new_instances.push_back(std::move(instance));
  plan.request = std::make_unique<v1::CreateInstanceRequest>(std::move(request));
  return plan;
}

absl::StatusOr<Operation> InstanceManager::Delete(const Caller& caller,
                                                  const v1::DeleteInstanceRequest& request) {
  const auto plan = [&]() -> absl::StatusOr<Plan> {
    const absl::Duration asked = FromProtoDuration(request.recycle_period());
    if (asked < absl::ZeroDuration() || asked > kMaxRecyclePeriod) {
      return InvalidField("recycle_period", "must be 0 to 365 days");
    }
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, Get(request.instance_id()));
    CVM_RETURN_IF_ERROR(RequireEtag(request.etag(), instance->etag()));
    CVM_RETURN_IF_ERROR(Check(*instance, Operation::DELETE_INSTANCE));
    auto filled = std::make_unique<v1::DeleteInstanceRequest>(request);
    if (!request.has_recycle_period()) {
      *filled->mutable_recycle_period() = ToProtoDuration(core_.config.operations.recycle_period);
    }
    // Nothing is left to restore, or it has been restorable already.
    if (instance->lifecycle() != v1::LIFECYCLE_PRESENT) filled->clear_recycle_period();
    return PlanFor(*instance, Operation::DELETE_INSTANCE, std::move(filled));
  };
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(), plan);
}

absl::StatusOr<Operation> InstanceManager::Restore(const Caller& caller,
                                                   const v1::RestoreInstanceRequest& request) {
  const auto plan = [&]() -> absl::StatusOr<Plan> {
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, Get(request.instance_id()));
    CVM_RETURN_IF_ERROR(Check(*instance, Operation::RESTORE_INSTANCE));
    return PlanFor(*instance, Operation::RESTORE_INSTANCE,
                   std::make_unique<v1::RestoreInstanceRequest>(request));
  };
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(), plan);
}

absl::StatusOr<Operation> InstanceManager::Update(const Caller& caller,
                                                  const v1::UpdateInstanceRequest& request) {
  const auto plan = [&]() -> absl::StatusOr<Plan> {
    CVM_RETURN_IF_ERROR(ValidateUpdate(request));
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, Get(request.instance_id()));
    CVM_RETURN_IF_ERROR(RequireEtag(request.etag(), instance->etag()));
    CVM_RETURN_IF_ERROR(Check(*instance, Operation::UPDATE_INSTANCE));
    Plan made = PlanFor(*instance, Operation::UPDATE_INSTANCE,
                        std::make_unique<v1::UpdateInstanceRequest>(request));
    made.secrets.user_data = request.spec().user_data();
    return made;
  };
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(), plan);
}

absl::StatusOr<Operation> InstanceManager::Resize(const Caller& caller,
                                                  const v1::ResizeInstanceRequest& request) {
  const auto plan = [&]() -> absl::StatusOr<Plan> {
    CVM_RETURN_IF_ERROR(ValidateResize(request));
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, Get(request.instance_id()));
    CVM_RETURN_IF_ERROR(Check(*instance, Operation::RESIZE_INSTANCE));
    auto filled = std::make_unique<v1::ResizeInstanceRequest>(request);
    if (filled->vcpus() == 0) filled->set_vcpus(instance->spec().vcpus());
    if (filled->memory_mib() == 0) filled->set_memory_mib(instance->spec().memory_mib());
    const bool on = IsOn(instance->observed_power().state());
    // Of a busy instance the engine will not take the plan.
    if (!IsBusy(*instance)) {
      if (request.online() && on) {
        return Error(ErrorReason::ERROR_REASON_NOT_IMPLEMENTED,
                     "a running guest cannot be resized in this version: say force_stop");
      }
      if (on && !request.force_stop()) {
        return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
                     fmt::format("{} is on: stop it first, or say force_stop", instance->id()),
                     {{"instance_id", instance->id()},
                      {"state", v1::InstanceState_Name(instance->state())}});
      }
      CVM_RETURN_IF_ERROR(
          CheckCapacity(core_, {.vcpus = filled->vcpus(),
                                .memory_mib = filled->memory_mib(),
                                .disk_bytes = 0,
                                .starts = on || instance->wanted_power() == v1::WANTED_POWER_ON,
                                .instance_id = instance->id()}));
    }
    Plan made = PlanFor(*instance, Operation::RESIZE_INSTANCE, std::move(filled));
    if (on) made.notes[kWasOnNote] = "1";
    return made;
  };
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(), plan);
}

absl::StatusOr<Operation> InstanceManager::Start(const Caller& caller,
                                                 const v1::StartInstanceRequest& request) {
  const auto plan = [&]() -> absl::StatusOr<Plan> {
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, Get(request.instance_id()));
    CVM_RETURN_IF_ERROR(Check(*instance, Operation::START_INSTANCE));
    Plan made = PlanFor(*instance, Operation::START_INSTANCE,
                        std::make_unique<v1::StartInstanceRequest>(request));
    // An operation under way is the better reason to refuse; the engine names it.
    if (made.target_was_busy) return made;
    // One that went off by itself is still meant to be on, and counted.
    if (instance->wanted_power() != v1::WANTED_POWER_ON) {
      CVM_RETURN_IF_ERROR(CheckCapacity(core_, {.vcpus = instance->spec().vcpus(),
                                                .memory_mib = instance->spec().memory_mib(),
                                                .disk_bytes = 0,
                                                .starts = true}));
    }
    made.change.UpdateInstance(instance->id(), [](v1::Instance& changed) {
      changed.set_wanted_power(v1::WANTED_POWER_ON);
    });
    return made;
  };
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(), plan);
}

absl::StatusOr<Operation> InstanceManager::Stop(const Caller& caller,
                                                const v1::StopInstanceRequest& request) {
  const auto plan = [&]() -> absl::StatusOr<Plan> {
    CVM_RETURN_IF_ERROR(CheckEnums(request));
    CVM_RETURN_IF_ERROR(CheckTimeout(request.has_timeout(), request.timeout()));
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, Get(request.instance_id()));
    CVM_RETURN_IF_ERROR(Check(*instance, Operation::STOP_INSTANCE));
    auto filled = WithSoftDefaults(request, core_.config);
    const bool hard = filled->mode() == v1::STOP_MODE_HARD;
    Plan made = PlanFor(*instance, Operation::STOP_INSTANCE, std::move(filled));
    made.overrides_soft_stop = hard;
    if (!hard) made.notes[kSoftStopNote] = "1";
    return made;
  };
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(), plan);
}

absl::StatusOr<Operation> InstanceManager::Reboot(const Caller& caller,
                                                  const v1::RebootInstanceRequest& request) {
  const auto plan = [&]() -> absl::StatusOr<Plan> {
    CVM_RETURN_IF_ERROR(CheckEnums(request));
    CVM_RETURN_IF_ERROR(CheckTimeout(request.has_timeout(), request.timeout()));
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, Get(request.instance_id()));
    CVM_RETURN_IF_ERROR(Check(*instance, Operation::REBOOT_INSTANCE));
    return PlanFor(*instance, Operation::REBOOT_INSTANCE, WithSoftDefaults(request, core_.config));
  };
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(), plan);
}

absl::StatusOr<InstancePtr> InstanceManager::Get(const std::string& id) const {
  CVM_RETURN_IF_ERROR(CheckId("instance_id", kInstancePrefix, id));
  return RequireInstance(core_, id);
}

absl::StatusOr<InstancePage> InstanceManager::List(const v1::ListInstancesRequest& request) const {
  CVM_ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  CVM_ASSIGN_OR_RETURN(const std::string after, ParsePageToken(request.page_token()));
  InstancePage page;
  // One more than the page tells whether there is another page.
  const InstanceTable& table = core_.ledger.instances();
  if (request.owner().empty()) {
    page.instances = table.List(after, size + 1);
  } else {
    for (EncodedInstance& encoded : table.List(after, SIZE_MAX)) {
      if (encoded.instance->owner() == request.owner() && page.instances.size() <= size) {
        page.instances.push_back(std::move(encoded));
      }
    }
  }
  if (page.instances.size() > size) {
    page.instances.pop_back();
    page.next_page_token = MakePageToken(page.instances.back().instance->id());
  }
  const PowerMonitor::Connection connection = core_.power.connection();
  page.observed_at = connection.connected ? core_.clock.Now() : connection.since;
  return page;
}

absl::Status InstanceManager::Check(const v1::Instance& instance, Operation::Action action) const {
  return CheckAction(instance, action, core_.power.connection().message);
}

std::vector<v1::DeniedAction> InstanceManager::Denied(const v1::Instance& instance) const {
  return DeniedActions(instance, core_.power.connection().message);
}

absl::StatusOr<InstancePtr> InstanceManager::RequireRunning(const std::string& id) const {
  CVM_ASSIGN_OR_RETURN(InstancePtr instance, Get(id));
  const ObservedPower::State power = instance->observed_power().state();
  if (IsOn(power)) return instance;
  const ErrorMetadata metadata = {{"instance_id", id},
                                  {"state", v1::InstanceState_Name(instance->state())}};
  if (power == ObservedPower::UNKNOWN) {
    return Error(ErrorReason::ERROR_REASON_STATE_UNKNOWN,
                 fmt::format("libvirt cannot be asked about {}: {}. Try again when it is back", id,
                             core_.power.connection().message),
                 metadata);
  }
  return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
               fmt::format("{} is not on: start it first", id), metadata);
}

absl::StatusOr<v1::Screenshot> InstanceManager::GetScreenshot(const std::string& id) const {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireRunning(id));
  CVM_ASSIGN_OR_RETURN(hypervisor::Screenshot taken,
                       core_.hypervisor.TakeScreenshot(instance->uuid()));
  v1::Screenshot screenshot;
  screenshot.set_png(std::move(taken.png));
  screenshot.set_width(taken.width);
  screenshot.set_height(taken.height);
  *screenshot.mutable_taken_at() = ToTimestamp(core_.clock.Now());
  return screenshot;
}

absl::StatusOr<std::string> InstanceManager::ReadConsoleLog(const std::string& id,
                                                            size_t bytes) const {
  CVM_RETURN_IF_ERROR(RequireRunning(id).status());
  const UniqueFd fd(open(core_.paths.ConsoleLog(id).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd || bytes == 0) return std::string();
  const off_t size = lseek(fd.get(), 0, SEEK_END);
  std::string tail(std::min<size_t>(bytes, size > 0 ? static_cast<size_t>(size) : 0), '\0');
  const ssize_t got =
      pread(fd.get(), tail.data(), tail.size(), size - static_cast<off_t>(tail.size()));
  tail.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return tail;
}

absl::StatusOr<std::unique_ptr<hypervisor::ConsoleSession>> InstanceManager::OpenSerial(
    const std::string& id, bool take_over, hypervisor::ConsoleHandler handler) const {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireRunning(id));
  return core_.hypervisor.OpenConsole(instance->uuid(), take_over, std::move(handler));
}

}  // namespace cvm::agent::core
