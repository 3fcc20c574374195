// SPDX-License-Identifier: Apache-2.0
//
// ResizeInstance with `online`: the running guest takes memory or gives it back, then gets vCPUs.
// Memory above what it booted with comes and goes by virtio-mem; what it has below, its balloon
// holds. vCPUs come last, because they cannot be taken back, so that the undo of everything before
// them is whole.
#pragma once

#include "absl/status/status.h"
#include "agent/core/core.h"
#include "agent/core/workflow.h"
#include "cvm/agent/v1/instance_service.pb.h"

namespace cvm::agent::core {

// CANNOT_RESIZE_ONLINE, or the errors of CheckCapacity, for a request with everything filled in.
absl::Status CheckOnlineResize(const Core& core, const v1::Instance& instance,
                               const v1::ResizeInstanceRequest& request);

Workflow ResizeOnlineWorkflow(const Core& core, const v1::ResizeInstanceRequest& request);

}  // namespace cvm::agent::core
