// SPDX-License-Identifier: Apache-2.0
//
// What InstanceService does, without gRPC: checks a request against the state of the host and hands
// it to the operation engine. Thread-safe. The error reasons of each call are in
// instance_service.proto.
#pragma once

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/core/instance_page.h"
#include "agent/core/operation_engine.h"
#include "cvm/agent/v1/instance_service.pb.h"

namespace cvm::agent::core {

class InstanceManager {
 public:
  // Both outlive the manager.
  InstanceManager(const Core& core, OperationEngine& engine) : core_(core), engine_(engine) {}

  absl::StatusOr<v1::Operation> Create(const Caller& caller,
                                       const v1::CreateInstanceRequest& request);
  absl::StatusOr<v1::Operation> Adopt(const Caller& caller,
                                      const v1::AdoptInstanceRequest& request);
  absl::StatusOr<v1::Operation> Delete(const Caller& caller,
                                       const v1::DeleteInstanceRequest& request);
  absl::StatusOr<v1::Operation> Restore(const Caller& caller,
                                        const v1::RestoreInstanceRequest& request);
  absl::StatusOr<v1::Operation> Update(const Caller& caller,
                                       const v1::UpdateInstanceRequest& request);
  absl::StatusOr<v1::Operation> Resize(const Caller& caller,
                                       const v1::ResizeInstanceRequest& request);
  absl::StatusOr<v1::Operation> Start(const Caller& caller,
                                      const v1::StartInstanceRequest& request);
  absl::StatusOr<v1::Operation> Stop(const Caller& caller, const v1::StopInstanceRequest& request);
  absl::StatusOr<v1::Operation> Reboot(const Caller& caller,
                                       const v1::RebootInstanceRequest& request);

  // MALFORMED_ID, INSTANCE_NOT_FOUND.
  absl::StatusOr<InstancePtr> Get(const std::string& id) const;
  // What would be refused now.
  std::vector<v1::DeniedAction> Denied(const v1::Instance& instance) const;
  absl::StatusOr<InstancePage> List(const v1::ListInstancesRequest& request) const;
  absl::StatusOr<v1::Screenshot> GetScreenshot(const std::string& id) const;
  // The end of the console log, at most `bytes`. Empty when there is none yet.
  absl::StatusOr<std::string> ReadConsoleLog(const std::string& id, size_t bytes) const;
  absl::StatusOr<std::unique_ptr<hypervisor::ConsoleSession>> OpenSerial(
      const std::string& id, bool take_over, hypervisor::ConsoleHandler handler) const;

 private:
  template <class Request>
  absl::StatusOr<v1::Operation> Submit(const Caller& caller, const Request& request,
                                       absl::StatusOr<Plan> (*plan)(const Core&, const Request&));
  absl::StatusOr<InstancePtr> RequireRunning(const std::string& id) const;

  const Core& core_;
  OperationEngine& engine_;
};

}  // namespace cvm::agent::core
