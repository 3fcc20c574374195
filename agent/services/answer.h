// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include "absl/status/statusor.h"
#include "common/grpc_status.h"

namespace cvm::agent::services {

// Puts a manager's result into the response and turns its status into gRPC's.
template <class T>
grpc::Status Answer(absl::StatusOr<T> result, T* response) {
  if (!result.ok()) return ToGrpc(result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

}  // namespace cvm::agent::services
