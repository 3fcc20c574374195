// SPDX-License-Identifier: Apache-2.0
//
// The specs behind tests/testdata/domain_xml.
#pragma once

#include <string>
#include <vector>

#include "drivers/hypervisor/domain_spec.h"
#include "drivers/hypervisor/libvirt/domain_xml.h"

namespace cvm::hypervisor {

struct NamedSpec {
  std::string name;  // of the golden file
  DomainSpec spec;
  bool kvm_host = false;
};

HostFacts GoldenFacts(bool kvm);
// One vCPU, 512 MiB, a system disk, a config drive, one NIC.
DomainSpec PlainSpec();
std::vector<NamedSpec> GoldenSpecs();

}  // namespace cvm::hypervisor
