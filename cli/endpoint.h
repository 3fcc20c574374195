// SPDX-License-Identifier: Apache-2.0
//
// Where the agent is.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cvm::cli {

struct Endpoint {
  // In gRPC's form.
  std::string target;
  // As people write it.
  std::string shown;
  // Empty for TCP.
  std::string socket_path;
};

// `address` wins over `socket_path`. Errors: InvalidArgument.
absl::StatusOr<Endpoint> MakeEndpoint(const std::string& socket_path, const std::string& address);

// Whether somebody listens at the socket; says what to do when not. Always OK for TCP.
absl::Status CheckSocket(const Endpoint& endpoint);

}  // namespace cvm::cli
