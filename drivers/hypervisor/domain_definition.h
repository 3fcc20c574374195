// SPDX-License-Identifier: Apache-2.0
//
// Compares a domain's definition with the one that a spec gives. Pure.
#pragma once

#include <string>
#include <vector>

#include "drivers/hypervisor/hypervisor.h"

namespace cvm::hypervisor {

// What a hypervisor would answer for a domain that was defined from the spec (persistent, not
// started automatically). The machine type is the spec's, empty when the spec leaves it open.
DomainDefinition DefinitionOf(const DomainSpec& spec);

// Where `found` is not what `wanted` says, in words without host paths: "2 vCPUs instead of 1". Not
// compared: the name, the metadata, what only one of them says (an empty machine type), and what
// the guest itself may change (the media of the drives after the first).
std::vector<std::string> DifferencesOf(const DomainDefinition& wanted,
                                       const DomainDefinition& found);

}  // namespace cvm::hypervisor
