// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/domain_size.h"

#include <libvirt/virterror.h>

#include <optional>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/domain_calls.h"
#include "drivers/hypervisor/libvirt/handles.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"
#include "drivers/hypervisor/libvirt/memory_device_xml.h"
#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

// libvirt calls some of what a stopped domain cannot do an invalid argument.
absl::StatusOr<DomainHandle> FindRunning(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(DomainHandle domain, FindDomain(connection, uuid));
  const int active = virDomainIsActive(domain.get());
  if (active < 0) return LastLibvirtError("look up a domain");
  if (active == 0) return WrongState(virDomainGetName(domain.get()), "is not running");
  return domain;
}

absl::StatusOr<std::optional<MemoryDevice>> MemoryDeviceOf(
    virDomainPtr domain, std::optional<uint64_t> request_mib = std::nullopt) {
  const TextHandle xml(virDomainGetXMLDesc(domain, 0));
  if (xml == nullptr) return LastLibvirtError("describe a domain");
  return ReadMemoryDevice(xml.get(), request_mib);
}

absl::StatusOr<uint64_t> BalloonMib(virDomainPtr domain) {
  virDomainMemoryStatStruct stats[VIR_DOMAIN_MEMORY_STAT_NR];
  const int count = virDomainMemoryStats(domain, stats, VIR_DOMAIN_MEMORY_STAT_NR, 0);
  if (count < 0) return LastLibvirtError("read the memory of a domain");
  for (int i = 0; i < count; ++i) {
    if (stats[i].tag == VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON) return stats[i].val / 1024;
  }
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
               "libvirt does not say how much memory the balloon leaves.");
}

}  // namespace

absl::StatusOr<DomainSize> GetDomainSize(virConnectPtr connection, const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindRunning(connection, uuid));
  DomainSize size;
  const int vcpus = virDomainGetVcpusFlags(domain.get(), VIR_DOMAIN_AFFECT_LIVE);
  if (vcpus < 0) return LastLibvirtError("count the vCPUs of a domain");
  size.vcpus = static_cast<uint32_t>(vcpus);
  CVM_ASSIGN_OR_RETURN(const std::optional<MemoryDevice> device, MemoryDeviceOf(domain.get()));
  if (device) {
    size.hotplug_requested_mib = device->requested_mib;
    size.hotplug_current_mib = device->current_mib;
  }
  CVM_ASSIGN_OR_RETURN(size.balloon_mib, BalloonMib(domain.get()));
  return size;
}

absl::Status AddVcpus(virConnectPtr connection, const std::string& uuid, uint32_t vcpus) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindRunning(connection, uuid));
  const int present = virDomainGetVcpusFlags(domain.get(), VIR_DOMAIN_AFFECT_LIVE);
  if (present < 0) return LastLibvirtError("count the vCPUs of a domain");
  if (vcpus <= static_cast<uint32_t>(present)) return absl::OkStatus();
  if (virDomainSetVcpusFlags(domain.get(), vcpus, VIR_DOMAIN_AFFECT_LIVE) == 0) {
    return absl::OkStatus();
  }
  return LastLibvirtError(fmt::format("give a domain {} vCPUs", vcpus));
}

absl::Status RequestHotplugMemory(virConnectPtr connection, const std::string& uuid, uint64_t mib) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindRunning(connection, uuid));
  CVM_ASSIGN_OR_RETURN(const std::optional<MemoryDevice> device, MemoryDeviceOf(domain.get(), mib));
  if (!device) {
    return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
                 fmt::format("Domain '{}' has no virtio-mem device.",
                             std::string(virDomainGetName(domain.get()))));
  }
  if (virDomainUpdateDeviceFlags(domain.get(), device->xml.c_str(), VIR_DOMAIN_AFFECT_LIVE) == 0) {
    return absl::OkStatus();
  }
  return LastLibvirtError(fmt::format("ask a domain to take {} MiB of memory", mib));
}

absl::Status SetBalloon(virConnectPtr connection, const std::string& uuid, uint64_t mib) {
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindRunning(connection, uuid));
  if (virDomainSetMemoryFlags(domain.get(), mib * 1024, VIR_DOMAIN_AFFECT_LIVE) == 0) {
    return absl::OkStatus();
  }
  return LastLibvirtError(fmt::format("ask a domain to keep {} MiB of memory", mib));
}

}  // namespace cvm::hypervisor
