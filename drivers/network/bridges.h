// SPDX-License-Identifier: Apache-2.0
//
// The host's bridges, through rtnetlink.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cvm::network {

// Thread-safe.
class Bridges {
 public:
  virtual ~Bridges() = default;
  // True when a bridge of that name exists and is up. HYPERVISOR_ERROR when the kernel cannot be
  // asked.
  virtual absl::StatusOr<bool> IsUp(const std::string& name) = 0;
  // The names of the host's tap devices that begin with `prefix` and that no process holds open (a
  // running guest holds its own), sorted.
  virtual absl::StatusOr<std::vector<std::string>> ListIdleTaps(const std::string& prefix) = 0;
  // Removes a tap device of that name, or nothing when there is none.
  virtual absl::Status RemoveTap(const std::string& name) = 0;
};

std::unique_ptr<Bridges> MakeNetlinkBridges();

}  // namespace cvm::network
