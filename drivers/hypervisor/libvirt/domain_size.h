// SPDX-License-Identifier: Apache-2.0
//
// The calls of Hypervisor that grow and shrink a running domain, on one connection and without
// deadlines. Errors as in hypervisor.h.
#pragma once

#include <libvirt/libvirt.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::hypervisor {

absl::StatusOr<DomainSize> GetDomainSize(virConnectPtr connection, const std::string& uuid);
absl::Status AddVcpus(virConnectPtr connection, const std::string& uuid, uint32_t vcpus);
absl::Status RequestHotplugMemory(virConnectPtr connection, const std::string& uuid, uint64_t mib);
absl::Status SetBalloon(virConnectPtr connection, const std::string& uuid, uint64_t mib);

}  // namespace cvm::hypervisor
