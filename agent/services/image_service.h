// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "agent/core/image_manager.h"
#include "cvm/agent/v1/image_service.grpc.pb.h"

namespace cvm::agent::services {

// ImageService over gRPC; the logic is in core/image_manager.h. Thread-safe.
class ImageServiceImpl final : public v1::ImageService::Service {
 public:
  // The manager outlives the service.
  explicit ImageServiceImpl(core::ImageManager& manager) : manager_(manager) {}

  grpc::Status ImportImage(grpc::ServerContext* context, const v1::ImportImageRequest* request,
                           v1::Operation* response) override;
  grpc::Status GetImage(grpc::ServerContext* context, const v1::GetImageRequest* request,
                        v1::Image* response) override;
  grpc::Status ListImages(grpc::ServerContext* context, const v1::ListImagesRequest* request,
                          v1::ListImagesResponse* response) override;
  grpc::Status DeleteImage(grpc::ServerContext* context, const v1::DeleteImageRequest* request,
                           v1::Operation* response) override;

 private:
  core::ImageManager& manager_;
};

}  // namespace cvm::agent::services
