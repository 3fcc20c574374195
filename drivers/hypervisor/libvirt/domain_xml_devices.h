// SPDX-License-Identifier: Apache-2.0
//
// The <devices> part of the domain XML.
#pragma once

#include "drivers/hypervisor/domain_spec.h"
#include "pugixml.hpp"

namespace cvm::hypervisor {

// Appends to `devices` all devices of a checked spec. `kvm`: whether KVM runs the guest.
void AppendDevices(const DomainSpec& spec, bool kvm, pugi::xml_node devices);

// Appends <name>text</name>.
pugi::xml_node AppendText(pugi::xml_node parent, const char* name, const std::string& text);

}  // namespace cvm::hypervisor
