// SPDX-License-Identifier: Apache-2.0
//
// Pieces that the plans of several actions are made of.
#pragma once

#include <memory>
#include <string>

#include "agent/core/core.h"
#include "agent/core/plan.h"
#include "cvm/agent/v1/instance_service.pb.h"

namespace cvm::agent::core {

// MALFORMED_ID, INSTANCE_NOT_FOUND.
absl::StatusOr<InstancePtr> FindInstance(const Core& core, const std::string& id);

// Whether the table of actions allows it now; see action_policy.h.
absl::Status CheckAction(const Core& core, const v1::Instance& instance,
                         v1::Operation::Action action);

// HYPERVISOR_UNAVAILABLE while libvirt cannot be asked.
absl::Status RequireConnected(const Core& core);

// ETAG_MISMATCH; an empty one was not given.
absl::Status RequireEtag(const std::string& given, const std::string& present);

// The image, which can be used now. `field` names what asked for it. MISSING_FIELD,
// IMAGE_NOT_FOUND, IMAGE_NOT_READY.
absl::StatusOr<v1::Image> FindReadyImage(const Core& core, const std::string& id,
                                         const std::string& field);

// Of no instance's disk.
std::string NewDiskId(const Core& core);

// The newest machine type of the guest's main board, to be pinned.
absl::StatusOr<std::string> NewestMachineType(const Core& core,
                                              const v1::GuestProperties& properties);

// INVALID_INSTANCE_STATE for a guest that is on, unless its power may be cut.
absl::Status RequireOffOrForce(const v1::Instance& instance, bool force_stop);

// What is the same in every plan for an instance that exists.
Plan PlanFor(const v1::Instance& instance, v1::Operation::Action action,
             std::unique_ptr<google::protobuf::Message> request);

// The request with what a soft stop or reboot takes when the caller says nothing.
template <class Request>
std::unique_ptr<Request> WithSoftDefaults(const Request& request, const Config& config) {
  auto filled = std::make_unique<Request>(request);
  if (filled->mode() == v1::STOP_MODE_UNSPECIFIED) filled->set_mode(v1::STOP_MODE_SOFT);
  if (!filled->has_timeout()) {
    *filled->mutable_timeout() = ToProtoDuration(config.operations.soft_stop_timeout);
  }
  return filled;
}

}  // namespace cvm::agent::core
