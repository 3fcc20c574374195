// SPDX-License-Identifier: Apache-2.0
//
// Whether a DomainSpec can be built at all. Pure.
#pragma once

#include <string_view>

#include "absl/status/status.h"
#include "drivers/hypervisor/domain_spec.h"

namespace cvm::hypervisor {

inline constexpr size_t kMaxDisks = 21;
inline constexpr size_t kMaxNics = 8;
// More needs an interrupt remapping unit in the guest.
inline constexpr uint32_t kMaxVcpus = 255;
inline constexpr uint64_t kMaxMemoryMib = uint64_t{16} << 20;
inline constexpr size_t kMaxMetadataBytes = 1 << 20;

// Whether `text` is UTF-8 of characters that an XML 1.0 document can hold. Without `line_breaks`
// no control character at all is accepted; with it those that XML can hold are.
bool IsXmlText(std::string_view text, bool line_breaks);

// Whether the domain has a PCI Express root: from its machine type, or from its family where the
// type is still to be chosen.
bool IsQ35(const DomainSpec& spec);

// INVALID_FIELD or MISSING_FIELD with the field's name ("disks[2].path"), TOO_MANY_DISKS,
// TOO_MANY_NICS, or FIELDS_CONFLICT (an IDE CD-ROM on q35, which has no IDE: SATA instead would be
// invisible to a guest that asks for IDE).
absl::Status CheckDomainSpec(const DomainSpec& spec);

}  // namespace cvm::hypervisor
