// SPDX-License-Identifier: Apache-2.0
//
// InstanceService over gRPC. Unary calls are synchronous and answer from memory; the two streams
// are reactors (watch_instances.h, stream_serial.h), and so is ListInstances, which puts its answer
// together from bytes. No logic here: see core/instance_manager.h.
#pragma once

#include "agent/core/instance_manager.h"
#include "agent/core/worker_pool.h"
#include "cvm/agent/v1/instance_service.grpc.pb.h"

namespace cvm::agent::services {

class InstanceServiceBase
    : public v1::InstanceService::WithRawCallbackMethod_ListInstances<
          v1::InstanceService::WithCallbackMethod_WatchInstances<
              v1::InstanceService::WithCallbackMethod_StreamSerial<v1::InstanceService::Service>>> {
};

// Thread-safe.
class InstanceServiceImpl final : public InstanceServiceBase {
 public:
  // Everything passed in outlives the service. `run_id` marks the resume tokens of this run of the
  // agent.
  InstanceServiceImpl(core::InstanceManager& manager, core::InstanceTable& table,
                      std::string run_id);

  grpc::Status CreateInstance(grpc::ServerContext* context,
                              const v1::CreateInstanceRequest* request,
                              v1::Operation* response) override;
  grpc::Status GetInstance(grpc::ServerContext* context, const v1::GetInstanceRequest* request,
                           v1::Instance* response) override;
  grpc::ServerUnaryReactor* ListInstances(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override;
  grpc::Status AdoptInstance(grpc::ServerContext* context, const v1::AdoptInstanceRequest* request,
                             v1::Operation* response) override;
  grpc::Status DeleteInstance(grpc::ServerContext* context,
                              const v1::DeleteInstanceRequest* request,
                              v1::Operation* response) override;
  grpc::Status RestoreInstance(grpc::ServerContext* context,
                               const v1::RestoreInstanceRequest* request,
                               v1::Operation* response) override;
  grpc::Status ResizeInstance(grpc::ServerContext* context,
                              const v1::ResizeInstanceRequest* request,
                              v1::Operation* response) override;
  grpc::Status UpdateInstance(grpc::ServerContext* context,
                              const v1::UpdateInstanceRequest* request,
                              v1::Operation* response) override;
  grpc::Status StartInstance(grpc::ServerContext* context, const v1::StartInstanceRequest* request,
                             v1::Operation* response) override;
  grpc::Status StopInstance(grpc::ServerContext* context, const v1::StopInstanceRequest* request,
                            v1::Operation* response) override;
  grpc::Status RebootInstance(grpc::ServerContext* context,
                              const v1::RebootInstanceRequest* request,
                              v1::Operation* response) override;
  grpc::Status GetScreenshot(grpc::ServerContext* context, const v1::GetScreenshotRequest* request,
                             v1::Screenshot* response) override;
  grpc::ServerWriteReactor<v1::InstanceEvent>* WatchInstances(
      grpc::CallbackServerContext* context, const v1::WatchInstancesRequest* request) override;
  grpc::ServerBidiReactor<v1::StreamSerialRequest, v1::StreamSerialResponse>* StreamSerial(
      grpc::CallbackServerContext* context) override;

#define CVM_NOT_THERE_YET(method, Response)                                                       \
  grpc::Status method(grpc::ServerContext*, const v1::method##Request*, v1::Response*) override { \
    return NotThereYet(#method);                                                                  \
  }
  CVM_NOT_THERE_YET(ReinstallInstance, Operation)
  CVM_NOT_THERE_YET(EnterRescue, Operation)
  CVM_NOT_THERE_YET(ExitRescue, Operation)
  CVM_NOT_THERE_YET(CloneInstance, Operation)
  CVM_NOT_THERE_YET(ResetPassword, Operation)
  CVM_NOT_THERE_YET(SetSshKeys, Operation)
  CVM_NOT_THERE_YET(AttachIso, Operation)
  CVM_NOT_THERE_YET(DetachIso, Operation)
  CVM_NOT_THERE_YET(AttachDisk, Operation)
  CVM_NOT_THERE_YET(DetachDisk, Operation)
  CVM_NOT_THERE_YET(AttachNic, Operation)
  CVM_NOT_THERE_YET(DetachNic, Operation)
  CVM_NOT_THERE_YET(UpdateNic, Operation)
  CVM_NOT_THERE_YET(GetConsole, GetConsoleResponse)
  CVM_NOT_THERE_YET(DiagnoseInstance, DiagnoseInstanceResponse)
#undef CVM_NOT_THERE_YET

 private:
  static grpc::Status NotThereYet(std::string_view method);

  core::InstanceManager& manager_;
  core::InstanceTable& table_;
  const std::string run_id_;
  // For what the serial streams must not do on gRPC's own threads.
  core::WorkerPool workers_;
};

}  // namespace cvm::agent::services
