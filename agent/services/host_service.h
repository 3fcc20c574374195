// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/core/host_view.h"
#include "cvm/agent/v1/host_service.grpc.pb.h"

namespace cvm::agent::services {

// HostService over gRPC; what it shows is made in core/host_view.h. Thread-safe.
class HostServiceImpl final : public v1::HostService::Service {
 public:
  // The view outlives the service.
  explicit HostServiceImpl(core::HostView& view) : view_(view) {}

  grpc::Status GetHost(grpc::ServerContext* context, const v1::GetHostRequest* request,
                       v1::Host* response) override;

 private:
  core::HostView& view_;
};

}  // namespace cvm::agent::services
