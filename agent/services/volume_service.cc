// SPDX-License-Identifier: Apache-2.0
#include "agent/services/volume_service.h"

#include "agent/services/answer.h"
#include "agent/services/caller.h"

namespace cvm::agent::services {

grpc::Status VolumeServiceImpl::GetVolume(grpc::ServerContext*, const v1::GetVolumeRequest* request,
                                          v1::Volume* response) {
  return Answer(manager_.Get(request->volume_id()), response);
}

grpc::Status VolumeServiceImpl::ListVolumes(grpc::ServerContext*,
                                            const v1::ListVolumesRequest* request,
                                            v1::ListVolumesResponse* response) {
  return Answer(manager_.List(*request), response);
}

grpc::Status VolumeServiceImpl::DeleteVolume(grpc::ServerContext* context,
                                             const v1::DeleteVolumeRequest* request,
                                             v1::Operation* response) {
  return Answer(manager_.Delete(CallerOf(*context), *request), response);
}

}  // namespace cvm::agent::services
