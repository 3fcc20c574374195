// SPDX-License-Identifier: Apache-2.0
//
// The virtio-mem device within the XML of a domain that runs. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"

namespace cvm::hypervisor {

struct MemoryDevice {
  uint64_t requested_mib = 0;
  uint64_t current_mib = 0;
  // The device's element, with another size asked for if one was given.
  std::string xml;
};

// Nothing when the domain has no such device. HYPERVISOR_ERROR for XML that is not well-formed or
// sizes that are not understood.
absl::StatusOr<std::optional<MemoryDevice>> ReadMemoryDevice(
    const std::string& domain_xml, std::optional<uint64_t> request_mib = std::nullopt);

}  // namespace cvm::hypervisor
