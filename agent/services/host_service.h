// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/core/host_manager.h"
#include "agent/core/host_view.h"
#include "cvm/agent/v1/host_service.grpc.pb.h"

namespace cvm::agent::services {

// HostService over gRPC; what it shows is made in core/host_view.h, what it does in
// core/host_manager.h. Thread-safe.
class HostServiceImpl final : public v1::HostService::Service {
 public:
  // Both outlive the service.
  HostServiceImpl(core::HostView& view, core::HostManager& manager)
      : view_(view), manager_(manager) {}

  grpc::Status GetHost(grpc::ServerContext* context, const v1::GetHostRequest* request,
                       v1::Host* response) override;
  grpc::Status SetMaintenance(grpc::ServerContext* context,
                              const v1::SetMaintenanceRequest* request,
                              v1::Operation* response) override;
  grpc::Status StopGuests(grpc::ServerContext* context, const v1::StopGuestsRequest* request,
                          v1::Operation* response) override;

 private:
  core::HostView& view_;
  core::HostManager& manager_;
};

}  // namespace cvm::agent::services
