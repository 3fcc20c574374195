// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"
#include "agent/core/core.h"
#include "cvm/agent/v1/host.pb.h"

namespace cvm::agent::core {

v1::Host::Maintenance GetMaintenance(const Core& core);

// HOST_IN_MAINTENANCE while it is on: for whatever brings a guest up that is not on.
absl::Status CheckMaintenance(const Core& core);

}  // namespace cvm::agent::core
