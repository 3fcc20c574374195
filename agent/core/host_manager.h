// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/core/operation_engine.h"
#include "cvm/agent/v1/host_service.pb.h"

namespace cvm::agent::core {

// What HostService does beside showing the host, without gRPC. Thread-safe. The error reasons of
// each call are in host_service.proto.
class HostManager {
 public:
  // Both outlive the manager.
  HostManager(const Core& core, OperationEngine& engine) : core_(core), engine_(engine) {}

  absl::StatusOr<v1::CheckHostResponse> Check() const;
  absl::StatusOr<v1::Operation> Repair(const Caller& caller, const v1::RepairHostRequest& request);
  EventLog& events() { return core_.events; }

 private:
  const Core& core_;
  OperationEngine& engine_;
};

}  // namespace cvm::agent::core
