// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libvirt/libvirt.h>

#include <string>

#include "absl/status/statusor.h"
#include "drivers/hypervisor/hypervisor.h"
#include "drivers/hypervisor/libvirt/domain_xml.h"

namespace cvm::hypervisor {

struct HostInventory {
  HostInfo info;
  HostFacts facts;
};

// Pure: take what they need from virConnectGetCapabilities and virConnectGetDomainCapabilities.
// HYPERVISOR_ERROR when the document is not well-formed.
absl::Status ReadCapabilities(const std::string& xml, HostFacts* facts);
absl::StatusOr<bool> DomainCapabilitiesHaveKvm(const std::string& xml);

// Asks the host; the first time after libvirtd's start this takes seconds. What a driver does not
// support (libvirt's test driver) is left at its default.
absl::StatusOr<HostInventory> ReadHost(virConnectPtr connection);

}  // namespace cvm::hypervisor
