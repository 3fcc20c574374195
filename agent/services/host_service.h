// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/core/host_manager.h"
#include "agent/core/host_view.h"
#include "cvm/agent/v1/host_service.grpc.pb.h"

namespace cvm::agent::services {

// HostService over gRPC; what it shows is made in core/host_view.h, what it does in
// core/host_manager.h. Thread-safe.
class HostServiceImpl final
    : public v1::HostService::WithCallbackMethod_WatchEvents<v1::HostService::Service> {
 public:
  // Both outlive the service. `run_id` marks the resume tokens of this run of the agent.
  HostServiceImpl(core::HostView& view, core::HostManager& manager, std::string run_id)
      : view_(view), manager_(manager), run_id_(std::move(run_id)) {}

  grpc::Status GetHost(grpc::ServerContext* context, const v1::GetHostRequest* request,
                       v1::Host* response) override;
  grpc::Status CheckHost(grpc::ServerContext* context, const v1::CheckHostRequest* request,
                         v1::CheckHostResponse* response) override;
  grpc::Status RepairHost(grpc::ServerContext* context, const v1::RepairHostRequest* request,
                          v1::Operation* response) override;
  grpc::ServerWriteReactor<v1::HostEvent>* WatchEvents(
      grpc::CallbackServerContext* context, const v1::WatchEventsRequest* request) override;

 private:
  core::HostView& view_;
  core::HostManager& manager_;
  const std::string run_id_;
};

}  // namespace cvm::agent::services
