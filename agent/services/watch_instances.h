// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/core/instance_table.h"
#include "cvm/agent/v1/instance_service.grpc.pb.h"

namespace cvm::agent::services {

// A reactor that owns itself. The table outlives the call.
grpc::ServerWriteReactor<v1::InstanceEvent>* StartWatchInstances(core::InstanceTable& table,
                                                                 const std::string& run_id,
                                                                 const std::string& resume_token);

}  // namespace cvm::agent::services
