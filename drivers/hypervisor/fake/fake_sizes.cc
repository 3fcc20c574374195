// SPDX-License-Identifier: Apache-2.0
//
// The part of FakeHost that grows and shrinks running guests.
#include <algorithm>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/fake/fake_errors.h"
#include "drivers/hypervisor/fake/fake_host.h"

namespace cvm::hypervisor {
namespace {

absl::Status Refused(const std::string& name, const std::string& what) {
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
               "Domain '" + name + "' has no room for " + what + ".");
}

}  // namespace

void FakeHost::TakeHardware(Domain& domain) {
  domain.hardware = domain.spec;
  domain.size.vcpus = domain.spec.vcpus;
  domain.size.hotplug_requested_mib = domain.spec.hotplug_requested_mib;
  domain.size.hotplug_current_mib = domain.ignore_memory ? 0 : domain.spec.hotplug_requested_mib;
  const bool inflated = domain.spec.balloon_mib != 0 && !domain.ignore_memory;
  domain.size.balloon_mib = inflated ? domain.spec.balloon_mib : domain.spec.memory_mib;
}

absl::Status FakeHost::AddVcpus(const std::string& uuid, uint32_t vcpus) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  if (vcpus <= domain->size.vcpus) return absl::OkStatus();
  if (vcpus > std::max(domain->hardware.max_vcpus, domain->hardware.vcpus)) {
    return Refused(domain->spec.name, "so many vCPUs");
  }
  domain->size.vcpus = vcpus;
  return absl::OkStatus();
}

absl::Status FakeHost::RequestHotplugMemory(const std::string& uuid, uint64_t mib) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  if (domain->hardware.hotplug_memory_mib == 0 || mib > domain->hardware.hotplug_memory_mib ||
      mib % kHotplugStepMib != 0) {
    return Refused(domain->spec.name, "so much memory");
  }
  domain->size.hotplug_requested_mib = mib;
  if (domain->ignore_memory) return absl::OkStatus();
  domain->size.hotplug_current_mib = mib;
  Emit(HypervisorEvent::Kind::kDomainMemoryChanged, domain->Status());
  return absl::OkStatus();
}

absl::Status FakeHost::SetBalloon(const std::string& uuid, uint64_t mib) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  if (mib == 0 || mib > domain->hardware.memory_mib) {
    return Refused(domain->spec.name, "a balloon like that");
  }
  if (domain->ignore_memory) return absl::OkStatus();
  domain->size.balloon_mib = mib;
  Emit(HypervisorEvent::Kind::kDomainMemoryChanged, domain->Status());
  return absl::OkStatus();
}

absl::Status FakeHost::IgnoreMemory(const std::string& uuid, bool ignore) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  domain->ignore_memory = ignore;
  return absl::OkStatus();
}

absl::Status FakeHost::GuestTakesMemory(const std::string& uuid, uint64_t mib) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  domain->size.hotplug_current_mib = mib;
  Emit(HypervisorEvent::Kind::kDomainMemoryChanged, domain->Status());
  return absl::OkStatus();
}

std::optional<DomainSize> FakeHost::SizeOf(const std::string& uuid) const {
  MutexLock lock(mutex_);
  const auto found = domains_.find(uuid);
  if (found == domains_.end() || !found->second.Active()) return std::nullopt;
  return found->second.size;
}

}  // namespace cvm::hypervisor
