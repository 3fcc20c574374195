// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/core/event_log.h"
#include "cvm/agent/v1/host_service.grpc.pb.h"

namespace cvm::agent::services {

// A reactor that owns itself. The log outlives the call.
grpc::ServerWriteReactor<v1::HostEvent>* StartWatchEvents(core::EventLog& log,
                                                          const std::string& run_id,
                                                          const std::string& resume_token);

}  // namespace cvm::agent::services
