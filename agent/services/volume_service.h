// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/core/volume_manager.h"
#include "cvm/agent/v1/volume_service.grpc.pb.h"

namespace cvm::agent::services {

// VolumeService over gRPC; the logic is in core/volume_manager.h. Thread-safe.
class VolumeServiceImpl final : public v1::VolumeService::Service {
 public:
  // The manager outlives the service.
  explicit VolumeServiceImpl(core::VolumeManager& manager) : manager_(manager) {}

  grpc::Status GetVolume(grpc::ServerContext* context, const v1::GetVolumeRequest* request,
                         v1::Volume* response) override;
  grpc::Status ListVolumes(grpc::ServerContext* context, const v1::ListVolumesRequest* request,
                           v1::ListVolumesResponse* response) override;
  grpc::Status DeleteVolume(grpc::ServerContext* context, const v1::DeleteVolumeRequest* request,
                            v1::Operation* response) override;

 private:
  core::VolumeManager& manager_;
};

}  // namespace cvm::agent::services
