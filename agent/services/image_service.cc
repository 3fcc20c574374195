// SPDX-License-Identifier: Apache-2.0
#include "agent/services/image_service.h"

#include "agent/services/answer.h"
#include "agent/services/caller.h"

namespace cvm::agent::services {

grpc::Status ImageServiceImpl::ImportImage(grpc::ServerContext* context,
                                           const v1::ImportImageRequest* request,
                                           v1::Operation* response) {
  return Answer(manager_.Import(CallerOf(*context), *request), response);
}

grpc::Status ImageServiceImpl::GetImage(grpc::ServerContext*, const v1::GetImageRequest* request,
                                        v1::Image* response) {
  return Answer(manager_.Get(request->image_id()), response);
}

grpc::Status ImageServiceImpl::ListImages(grpc::ServerContext*,
                                          const v1::ListImagesRequest* request,
                                          v1::ListImagesResponse* response) {
  return Answer(manager_.List(*request), response);
}

grpc::Status ImageServiceImpl::DeleteImage(grpc::ServerContext* context,
                                           const v1::DeleteImageRequest* request,
                                           v1::Operation* response) {
  return Answer(manager_.Delete(CallerOf(*context), *request), response);
}

}  // namespace cvm::agent::services
