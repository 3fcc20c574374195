// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/core/operation_engine.h"
#include "grpcpp/server_context.h"

namespace cvm::agent::services {

// Who is calling: "local" over the unix socket, "loopback" over cleartext TCP on this host. Request
// ids belong to it.
core::Caller CallerOf(const grpc::ServerContextBase& context);

}  // namespace cvm::agent::services
