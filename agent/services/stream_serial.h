// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/core/instance_manager.h"
#include "agent/core/worker_pool.h"
#include "cvm/agent/v1/instance_service.grpc.pb.h"

namespace cvm::agent::services {

// A reactor that owns itself. Manager and workers outlive the call.
grpc::ServerBidiReactor<v1::StreamSerialRequest, v1::StreamSerialResponse>* StartStreamSerial(
    core::InstanceManager& manager, core::WorkerPool& workers);

}  // namespace cvm::agent::services
