// SPDX-License-Identifier: Apache-2.0
#include "agent/core/volume_manager.h"

#include "agent/core/paging.h"
#include "agent/core/volumes.h"
#include "agent/core/workflows.h"
#include "common/status_macros.h"

namespace cvm::agent::core {

absl::StatusOr<v1::Volume> VolumeManager::Get(const std::string& id) const {
  return FindVolume(core_, id);
}

absl::StatusOr<v1::ListVolumesResponse> VolumeManager::List(
    const v1::ListVolumesRequest& request) const {
  CVM_ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  CVM_ASSIGN_OR_RETURN(const std::string after, ParsePageToken(request.page_token()));
  v1::ListVolumesResponse response;
  for (v1::Volume& volume : core_.ledger.volumes().All()) {
    if (volume.id() <= after) continue;
    if (!request.owner().empty() && volume.owner() != request.owner()) continue;
    if (static_cast<size_t>(response.volumes_size()) == size) {
      response.set_next_page_token(MakePageToken(response.volumes().rbegin()->id()));
      break;
    }
    *response.add_volumes() = std::move(volume);
  }
  return response;
}

absl::StatusOr<v1::Operation> VolumeManager::Delete(const Caller& caller,
                                                    const v1::DeleteVolumeRequest& request) {
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(),
                        [&] { return PlanDeleteVolume(core_, request); });
}

}  // namespace cvm::agent::core
