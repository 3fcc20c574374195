// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "cvm/agent/v1/host.pb.h"

namespace cvm::agent::core {

// The host as HostService.GetHost shows it, from caches: it never waits for libvirt. Thread-safe.
class HostView {
 public:
  // `core` outlives the view.
  HostView(const Core& core, std::string agent_version);
  absl::StatusOr<v1::Host> Get() const;

 private:
  const Core& core_;
  const std::string agent_version_;
  const absl::Time started_;
};

}  // namespace cvm::agent::core
