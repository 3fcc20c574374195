// SPDX-License-Identifier: Apache-2.0
//
// What VolumeService does, without gRPC. Thread-safe. The error reasons of each call are in
// volume_service.proto.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/core/operation_engine.h"
#include "cvm/agent/v1/volume_service.pb.h"

namespace cvm::agent::core {

class VolumeManager {
 public:
  // Both outlive the manager.
  VolumeManager(const Core& core, OperationEngine& engine) : core_(core), engine_(engine) {}

  absl::StatusOr<v1::Volume> Get(const std::string& id) const;
  absl::StatusOr<v1::ListVolumesResponse> List(const v1::ListVolumesRequest& request) const;
  absl::StatusOr<v1::Operation> Delete(const Caller& caller,
                                       const v1::DeleteVolumeRequest& request);

 private:
  const Core& core_;
  OperationEngine& engine_;
};

}  // namespace cvm::agent::core
