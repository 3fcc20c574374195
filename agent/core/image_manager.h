// SPDX-License-Identifier: Apache-2.0
//
// What ImageService does, without gRPC. Thread-safe. The error reasons of each call are in
// image_service.proto.
#pragma once

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/core/operation_engine.h"
#include "cvm/agent/v1/image_service.pb.h"

namespace cvm::agent::core {

class ImageManager {
 public:
  // Both outlive the manager.
  ImageManager(const Core& core, OperationEngine& engine) : core_(core), engine_(engine) {}

  absl::StatusOr<v1::Operation> Import(const Caller& caller, const v1::ImportImageRequest& request);
  absl::StatusOr<v1::Operation> Delete(const Caller& caller, const v1::DeleteImageRequest& request);
  absl::StatusOr<v1::Image> Get(const std::string& id) const;
  absl::StatusOr<v1::ListImagesResponse> List(const v1::ListImagesRequest& request) const;

 private:
  absl::StatusOr<Plan> PlanImport(v1::ImportImageRequest request) const;

  const Core& core_;
  OperationEngine& engine_;
};

}  // namespace cvm::agent::core
