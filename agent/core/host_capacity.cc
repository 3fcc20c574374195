// SPDX-License-Identifier: Apache-2.0
#include "agent/core/host_capacity.h"

#include <algorithm>

#include "agent/core/derive_state.h"
#include "agent/core/instance_size.h"
#include "agent/core/power_steps.h"
#include "agent/core/reinstall_record.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

constexpr uint64_t kMib = 1 << 20;
// What one guest can have without an interrupt remapper.
constexpr uint32_t kMaxGuestVcpus = 255;

absl::Status Insufficient(ErrorReason reason, std::string_view what, uint64_t asked, uint64_t limit,
                          std::string_view unit) {
  return Error(reason,
               fmt::format("not enough {}: {} {} asked for, {} {} can be given", what, asked, unit,
                           limit, unit),
               {{"limit", std::to_string(limit)}});
}

uint64_t Minus(uint64_t from, uint64_t what) { return from > what ? from - what : 0; }

bool MayBeOn(const v1::Instance& instance) {
  const v1::ObservedPower& power = instance.observed_power();
  return IsOn(power.state() == v1::ObservedPower::UNKNOWN ? power.last_known() : power.state());
}

absl::StatusOr<v1::Host::Capacity> CapacityWithout(const Core& core, std::string_view left_out) {
  CVM_ASSIGN_OR_RETURN(const hypervisor::HostInfo host, core.hypervisor.GetHostInfo());
  CVM_ASSIGN_OR_RETURN(const DiskSpace disk, core.disk_space());
  const Config::Limits& limits = core.config.limits;
  v1::Host::Capacity capacity;
  capacity.set_cpus(host.cpus);
  capacity.set_cpu_overcommit(limits.cpu_overcommit);
  capacity.set_disk_overcommit(limits.disk_overcommit);
  capacity.set_vcpus_total(static_cast<uint32_t>(host.cpus * limits.cpu_overcommit));
  capacity.set_memory_total_mib(host.memory_mib);
  capacity.set_memory_reserved_mib(static_cast<uint64_t>(limits.memory_reserve_mib));
  capacity.set_disk_total_bytes(
      static_cast<uint64_t>(static_cast<double>(disk.total_bytes) * limits.disk_overcommit));
  capacity.set_disk_reserved_bytes(static_cast<uint64_t>(limits.disk_reserve_mib) * kMib);
  capacity.set_disk_free_bytes(disk.free_bytes);
  CVM_ASSIGN_OR_RETURN(const std::vector<store::ReinstallRecord> reinstalls,
                       UnfinishedReinstalls(core));
  for (const store::ReinstallRecord& reinstall : reinstalls) {
    const InstancePtr present = core.ledger.instances().Find(reinstall.instance_id());
    if (present == nullptr) continue;
    // What it grows by is promised from its submission on.
    const uint64_t size = reinstall.after().spec().system_disk().size_bytes();
    capacity.set_disk_allocated_bytes(capacity.disk_allocated_bytes() +
                                      Minus(size, present->spec().system_disk().size_bytes()));
  }
  for (const InstancePtr& instance : core.ledger.instances().All()) {
    if (!HoldsResources(*instance) || instance->id() == left_out) continue;
    const v1::InstanceSpec& spec = instance->spec();
    capacity.set_disk_allocated_bytes(capacity.disk_allocated_bytes() + DiskBytes(spec) +
                                      instance->rescue().disk().size_bytes());
    // One that is meant to be off may still be on.
    if (instance->wanted_power() != v1::WANTED_POWER_ON && !MayBeOn(*instance)) continue;
    capacity.set_vcpus_allocated(capacity.vcpus_allocated() + CountedVcpus(*instance));
    capacity.set_memory_allocated_mib(capacity.memory_allocated_mib() +
                                      CountedMemoryMib(*instance));
  }
  for (const v1::Volume& volume : core.ledger.volumes().All()) {
    // The disk of an instance that is being created is counted there.
    if (volume.state() == v1::Volume::IN_USE) continue;
    capacity.set_disk_allocated_bytes(capacity.disk_allocated_bytes() + volume.size_bytes());
  }
  capacity.set_vcpus_available(
      static_cast<uint32_t>(Minus(capacity.vcpus_total(), capacity.vcpus_allocated())));
  capacity.set_memory_available_mib(
      Minus(Minus(capacity.memory_total_mib(), capacity.memory_reserved_mib()),
            capacity.memory_allocated_mib()));
  capacity.set_disk_available_bytes(
      capacity.disk_free_bytes() <= capacity.disk_reserved_bytes()
          ? 0
          : Minus(Minus(capacity.disk_total_bytes(), capacity.disk_reserved_bytes()),
                  capacity.disk_allocated_bytes()));
  return capacity;
}

}  // namespace

uint32_t MaxGuestVcpus(const hypervisor::HostInfo& host) {
  // Overcommit is between guests: one guest alone gets no more vCPUs than the host has.
  return std::min(host.cpus, kMaxGuestVcpus);
}

uint64_t DiskBytes(const v1::InstanceSpec& spec) {
  uint64_t bytes = spec.system_disk().size_bytes();
  for (const v1::DiskSpec& disk : spec.data_disks()) {
    if (__builtin_add_overflow(bytes, disk.size_bytes(), &bytes)) return UINT64_MAX;
  }
  return bytes;
}

absl::StatusOr<v1::Host::Capacity> GetCapacity(const Core& core) {
  return CapacityWithout(core, "");
}

absl::Status CheckCapacity(const Core& core, const Demand& demand) {
  CVM_ASSIGN_OR_RETURN(const v1::Host::Capacity has, CapacityWithout(core, demand.instance_id));
  CVM_ASSIGN_OR_RETURN(const hypervisor::HostInfo host, core.hypervisor.GetHostInfo());
  const uint32_t one_guest = MaxGuestVcpus(host);
  if (demand.vcpus > one_guest) {
    return Insufficient(ErrorReason::ERROR_REASON_INSUFFICIENT_VCPUS, "CPUs for one guest",
                        demand.vcpus, one_guest, "vCPUs");
  }
  const uint64_t vcpus = has.vcpus_available();
  if (demand.starts && demand.vcpus > vcpus) {
    return Insufficient(ErrorReason::ERROR_REASON_INSUFFICIENT_VCPUS, "vCPUs", demand.vcpus, vcpus,
                        "vCPUs");
  }
  const uint64_t memory = demand.starts ? has.memory_available_mib()
                                        : Minus(has.memory_total_mib(), has.memory_reserved_mib());
  if (demand.memory_mib > memory) {
    return Insufficient(ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY, "memory", demand.memory_mib,
                        memory, "MiB");
  }
  const uint64_t disk =
      Minus(Minus(has.disk_total_bytes(), has.disk_reserved_bytes()), has.disk_allocated_bytes());
  if (demand.disk_bytes > disk) {
    return Insufficient(ErrorReason::ERROR_REASON_INSUFFICIENT_DISK, "disk", demand.disk_bytes,
                        disk, "bytes");
  }
  const uint64_t free = Minus(has.disk_free_bytes(), has.disk_reserved_bytes());
  if ((demand.disk_bytes > 0 || demand.makes_files) && (free == 0 || free < demand.file_bytes)) {
    return Insufficient(ErrorReason::ERROR_REASON_INSUFFICIENT_DISK, "free disk",
                        std::max(demand.disk_bytes, demand.file_bytes), free, "bytes");
  }
  return absl::OkStatus();
}

}  // namespace cvm::agent::core
