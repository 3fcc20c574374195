// SPDX-License-Identifier: Apache-2.0
//
// The one place that turns a status into gRPC's and back. Target cvm_common_grpc.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace cvm {

// Code, message and the google.rpc.Status with its ErrorInfo as binary details. A status without a
// reason is reported as INTERNAL; its text goes to the log, not to the caller.
grpc::Status ToGrpc(const absl::Status& status);
// With the reason, when the peer sent one.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace cvm
