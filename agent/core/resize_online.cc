// SPDX-License-Identifier: Apache-2.0
#include "agent/core/resize_online.h"

#include "agent/core/host_capacity.h"
#include "agent/core/power_steps.h"
#include "agent/core/resize_steps.h"
#include "agent/core/soft_request.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// vCPUs that a failed resize has left to the guest.
constexpr char kKeptVcpusNote[] = "kept-vcpus";

absl::Status Refusal(const v1::Instance& instance, std::string_view field, std::string_view why,
                     ErrorMetadata more = {}) {
  more.emplace("instance_id", instance.id());
  more.emplace("field", field);
  return Error(ErrorReason::ERROR_REASON_CANNOT_RESIZE_ONLINE,
               fmt::format("{} cannot be resized while it runs: {}", instance.id(), why), more);
}

absl::Status CheckVcpus(const Core& core, const v1::Instance& instance, uint32_t vcpus) {
  const InstanceSize size = SizeOf(instance);
  if (vcpus < size.vcpus) {
    return Refusal(instance, "vcpus",
                   fmt::format("it has {} vCPUs, and none is taken from a running guest, because "
                               "QEMU can crash at the next device that is attached after that. "
                               "Resize it with force_stop",
                               size.vcpus),
                   {{"limit", std::to_string(size.vcpus)}});
  }
  if (vcpus > MaxVcpus(size)) {
    return Refusal(instance, "vcpus",
                   fmt::format("it was made for at most {} vCPUs (max_vcpus). Resize it with "
                               "force_stop",
                               MaxVcpus(size)),
                   {{"limit", std::to_string(MaxVcpus(size))}});
  }
  if (vcpus == size.vcpus || core.config.operations.emulated_vcpu_growth) return absl::OkStatus();
  CVM_ASSIGN_OR_RETURN(const hypervisor::HostInfo host, core.hypervisor.GetHostInfo());
  if (!host.kvm) {
    return Refusal(instance, "vcpus",
                   "this host has no KVM, and QEMU's emulator can crash when a guest that has run "
                   "for a while gets another vCPU (emulated_vcpu_growth). Resize it with "
                   "force_stop",
                   {{"limit", std::to_string(size.vcpus)}});
  }
  return absl::OkStatus();
}

absl::Status CheckMemory(const v1::Instance& instance, uint64_t memory_mib) {
  const InstanceSize size = SizeOf(instance);
  const uint64_t boot = BootMemoryMib(size);
  const uint64_t most = boot + HotplugMemoryMib(size);
  if (memory_mib > most) {
    return Refusal(
        instance, "memory_mib",
        fmt::format("it was made for at most {} MiB (max_memory_mib, in pieces of {} MiB "
                    "above the {} MiB that it booted with). Resize it with force_stop",
                    most, hypervisor::kHotplugPieceMib, boot),
        {{"limit", std::to_string(most)}});
  }
  if (memory_mib > boot && (memory_mib - boot) % hypervisor::kHotplugStepMib != 0) {
    return Refusal(instance, "memory_mib",
                   fmt::format("above the {} MiB that it booted with, memory comes in steps of {} "
                               "MiB",
                               boot, hypervisor::kHotplugStepMib));
  }
  const uint64_t least = (boot + 1) / 2;
  if (memory_mib < least) {
    return Refusal(instance, "memory_mib",
                   fmt::format("it booted with {} MiB, and a guest that has to give up more than "
                               "half of that may not survive it. Resize it with force_stop",
                               boot),
                   {{"limit", std::to_string(least)}});
  }
  return absl::OkStatus();
}

// Asks the guest for the memory of that size.
absl::Status Ask(const Core& core, const std::string& uuid, const InstanceSize& size,
                 const hypervisor::DomainSize& present) {
  if (present.hotplug_requested_mib != RequestedHotplugMib(size)) {
    CVM_RETURN_IF_ERROR(core.hypervisor.RequestHotplugMemory(uuid, RequestedHotplugMib(size)));
  }
  return present.balloon_mib == BalloonMib(size)
             ? absl::OkStatus()
             : core.hypervisor.SetBalloon(uuid, BalloonMib(size));
}

bool Has(const hypervisor::DomainSize& present, const InstanceSize& size) {
  return present.hotplug_requested_mib == RequestedHotplugMib(size) &&
         present.hotplug_current_mib == RequestedHotplugMib(size) &&
         present.balloon_mib == BalloonMib(size);
}

// What an undo gives up on: the guest is off, and its definition is what counts; or another attempt
// would get the same.
bool IsFinal(const absl::Status& status) {
  const ErrorReason reason = ReasonOf(status);
  return reason == ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE ||
         reason == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND ||
         reason == ErrorReason::ERROR_REASON_HYPERVISOR_ERROR;
}

absl::Status OkIfFinal(const absl::Status& status, const std::string& id) {
  if (!IsFinal(status)) return status;
  CVM_LOG_WARNING("{} keeps what an undone resize gave it until it is off: {}", id,
                  std::string(status.message()));
  return absl::OkStatus();
}

InstanceSize OldSize(const StepContext& context) {
  return SizeFromNote(context.Note(kOldSizeNote));
}

class OnlineResize {
 public:
  OnlineResize(const Core& core, v1::ResizeInstanceRequest request)
      : core_(core), request_(std::move(request)) {}

  InstanceSize NewSize(const StepContext& context) const {
    return ResizedOnline(OldSize(context), request_.vcpus(), request_.memory_mib());
  }

  bool ChangesMemory(const StepContext& context) const {
    return OldSize(context).memory_mib != request_.memory_mib();
  }

  absl::StatusOr<StepResult> ChangeMemory(StepContext& context) const {
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core_, id()));
    const InstanceSize wanted = NewSize(context);
    const absl::Duration timeout = FromProtoDuration(request_.timeout());
    CVM_ASSIGN_OR_RETURN(const hypervisor::DomainSize present,
                         core_.hypervisor.GetDomainSize(instance->uuid()));
    return RunSoftRequest(
        core_, context,
        {.timeout = timeout,
         .ask = [&] { return Ask(core_, instance->uuid(), wanted, present); },
         .happened = [&]() -> absl::StatusOr<bool> { return Has(present, wanted); },
         .timed_out = [&]() -> absl::StatusOr<StepResult> {
           const uint64_t has = present.balloon_mib + present.hotplug_current_mib;
           return Error(
               ErrorReason::ERROR_REASON_CANNOT_RESIZE_ONLINE,
               fmt::format("the guest of {} has {} MiB of memory after {} instead of {} MiB; it is "
                           "asked to return to {} MiB. A guest needs the driver virtio_mem to grow "
                           "and virtio_balloon to shrink",
                           id(), has, absl::FormatDuration(timeout), request_.memory_mib(),
                           OldSize(context).memory_mib),
               {{"instance_id", id()}, {"field", "memory_mib"}});
         }});
  }

  absl::Status AskForFormerMemory(StepContext& context) const {
    const InstancePtr instance = core_.ledger.instances().Find(id());
    if (instance == nullptr || !ChangesMemory(context)) return absl::OkStatus();
    const auto present = core_.hypervisor.GetDomainSize(instance->uuid());
    if (!present.ok()) return OkIfFinal(present.status(), id());
    return OkIfFinal(Ask(core_, instance->uuid(), OldSize(context), *present), id());
  }

  absl::StatusOr<StepResult> Define(StepContext& context) const {
    CVM_RETURN_IF_ERROR(DefineSize(core_, id(), NewSize(context), context));
    return StepResult::Done();
  }

  absl::Status DefineFormer(StepContext& context) const {
    InstanceSize size = OldSize(context);
    if (!context.Note(kKeptVcpusNote).empty()) {
      size.vcpus = SizeFromNote(context.Note(kKeptVcpusNote)).vcpus;
    }
    return DefineSize(core_, id(), size, context);
  }

  absl::StatusOr<StepResult> AddVcpus() const {
    CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core_, id()));
    CVM_RETURN_IF_ERROR(core_.hypervisor.AddVcpus(instance->uuid(), request_.vcpus()));
    return StepResult::Done();
  }

  // Nothing is taken away. Some may have come before the rest failed: they are the guest's now.
  absl::Status CountVcpus(StepContext& context) const {
    const InstancePtr instance = core_.ledger.instances().Find(id());
    if (instance == nullptr) return absl::OkStatus();
    const auto present = core_.hypervisor.GetDomainSize(instance->uuid());
    if (!present.ok()) {
      return IsFinal(present.status()) ? absl::OkStatus() : present.status();
    }
    InstanceSize kept = OldSize(context);
    if (present->vcpus <= kept.vcpus) return absl::OkStatus();
    kept.vcpus = present->vcpus;
    context.SetNote(kKeptVcpusNote, ToNote(kept));
    return absl::OkStatus();
  }

 private:
  const std::string& id() const { return request_.instance_id(); }

  const Core& core_;
  const v1::ResizeInstanceRequest request_;
};

}  // namespace

absl::Status CheckOnlineResize(const Core& core, const v1::Instance& instance,
                               const v1::ResizeInstanceRequest& request) {
  if (instance.observed_power().state() != v1::ObservedPower::RUNNING) {
    const std::string state = v1::InstanceState_Name(instance.state());
    return Refusal(instance, "online",
                   fmt::format("it is {}, not RUNNING. Resize it without online", state),
                   {{"state", state}});
  }
  CVM_RETURN_IF_ERROR(CheckVcpus(core, instance, request.vcpus()));
  CVM_RETURN_IF_ERROR(CheckMemory(instance, request.memory_mib()));
  // A guest that gives something back fits, whatever else is on the host.
  const InstanceSize old_size = SizeOf(instance);
  const uint64_t memory =
      CountedMemoryMib(ResizedOnline(old_size, request.vcpus(), request.memory_mib()));
  return CheckCapacity(core, {.vcpus = request.vcpus() > old_size.vcpus ? request.vcpus() : 0,
                              .memory_mib = memory > CountedMemoryMib(old_size) ? memory : 0,
                              .disk_bytes = 0,
                              .starts = true,
                              .instance_id = instance.id()});
}

Workflow ResizeOnlineWorkflow(const Core& core, const v1::ResizeInstanceRequest& request) {
  const auto resize = std::make_shared<const OnlineResize>(core, request);
  Workflow workflow;
  workflow.steps.push_back({
      .name = "changing the guest's memory",
      .percent = 70,
      .should_run = [resize](StepContext& context) { return resize->ChangesMemory(context); },
      .run = [resize](StepContext& context) { return resize->ChangeMemory(context); },
      .undo = [resize](StepContext& context) { return resize->AskForFormerMemory(context); },
  });
  workflow.steps.push_back({
      .name = "changing the definition",
      .percent = 80,
      .run = [resize](StepContext& context) { return resize->Define(context); },
      .undo = [resize](StepContext& context) { return resize->DefineFormer(context); },
  });
  workflow.steps.push_back({
      .name = "adding vCPUs",
      .percent = 100,
      .should_run =
          [request](StepContext& context) { return OldSize(context).vcpus != request.vcpus(); },
      .run = [resize](StepContext&) { return resize->AddVcpus(); },
      .undo = [resize](StepContext& context) { return resize->CountVcpus(context); },
  });
  return workflow;
}

}  // namespace cvm::agent::core
