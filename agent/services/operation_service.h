// SPDX-License-Identifier: Apache-2.0
//
// OperationService over gRPC. What waits (WaitOperation, WatchOperation) is a reactor and holds no
// thread.
#pragma once

#include "agent/core/operation_engine.h"
#include "cvm/agent/v1/operation_service.grpc.pb.h"

namespace cvm::agent::services {

// Thread-safe.
class OperationServiceImpl final
    : public v1::OperationService::WithCallbackMethod_WaitOperation<
          v1::OperationService::WithCallbackMethod_WatchOperation<v1::OperationService::Service>> {
 public:
  // Both outlive the service.
  OperationServiceImpl(core::OperationEngine& engine, const Clock& clock)
      : engine_(engine), clock_(clock) {}

  grpc::Status GetOperation(grpc::ServerContext* context, const v1::GetOperationRequest* request,
                            v1::Operation* response) override;
  grpc::Status ListOperations(grpc::ServerContext* context,
                              const v1::ListOperationsRequest* request,
                              v1::ListOperationsResponse* response) override;
  grpc::Status CancelOperation(grpc::ServerContext* context,
                               const v1::CancelOperationRequest* request,
                               v1::Operation* response) override;
  grpc::ServerUnaryReactor* WaitOperation(grpc::CallbackServerContext* context,
                                          const v1::WaitOperationRequest* request,
                                          v1::Operation* response) override;
  grpc::ServerWriteReactor<v1::Operation>* WatchOperation(
      grpc::CallbackServerContext* context, const v1::WatchOperationRequest* request) override;

 private:
  core::OperationEngine& engine_;
  const Clock& clock_;
};

}  // namespace cvm::agent::services
