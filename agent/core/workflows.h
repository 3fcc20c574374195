// SPDX-License-Identifier: Apache-2.0
//
// Every action, one file each: <action>.cc with its plan (the check of a request against the state
// of the host, and everything that the agent chooses) and its workflow. A workflow is made from its
// record alone, so that the same steps are there after a restart of the agent. The error reasons of
// a plan are in the protos.
#pragma once

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/core/operation_engine.h"
#include "agent/core/plan.h"
#include "agent/core/workflow.h"
#include "cvm/agent/v1/host_service.pb.h"
#include "cvm/agent/v1/image_service.pb.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "cvm/agent/v1/volume_service.pb.h"

namespace cvm::agent::core {

absl::StatusOr<Plan> PlanCreateInstance(const Core& core, const v1::CreateInstanceRequest& asked);
Workflow CreateInstanceWorkflow(const Core& core, const v1::CreateInstanceRequest& request);
absl::StatusOr<Plan> PlanDeleteInstance(const Core& core, const v1::DeleteInstanceRequest& request);
Workflow DeleteInstanceWorkflow(const Core& core, const v1::DeleteInstanceRequest& request);
absl::StatusOr<Plan> PlanRestoreInstance(const Core& core,
                                         const v1::RestoreInstanceRequest& request);
Workflow RestoreInstanceWorkflow(const Core& core, const v1::RestoreInstanceRequest& request);
absl::StatusOr<Plan> PlanStartInstance(const Core& core, const v1::StartInstanceRequest& request);
Workflow StartInstanceWorkflow(const Core& core, const v1::StartInstanceRequest& request);
absl::StatusOr<Plan> PlanStopInstance(const Core& core, const v1::StopInstanceRequest& request);
Workflow StopInstanceWorkflow(const Core& core, const v1::StopInstanceRequest& request);
absl::StatusOr<Plan> PlanRebootInstance(const Core& core, const v1::RebootInstanceRequest& request);
Workflow RebootInstanceWorkflow(const Core& core, const v1::RebootInstanceRequest& request);
absl::StatusOr<Plan> PlanUpdateInstance(const Core& core, const v1::UpdateInstanceRequest& request);
Workflow UpdateInstanceWorkflow(const Core& core, const v1::UpdateInstanceRequest& request);
absl::StatusOr<Plan> PlanResizeInstance(const Core& core, const v1::ResizeInstanceRequest& request);
Workflow ResizeInstanceWorkflow(const Core& core, const v1::ResizeInstanceRequest& request);
absl::StatusOr<Plan> PlanSetMaintenance(const Core& core, const v1::SetMaintenanceRequest& request);
Workflow SetMaintenanceWorkflow(const Core& core, const v1::SetMaintenanceRequest& request);
absl::StatusOr<Plan> PlanStopGuests(const Core& core, const v1::StopGuestsRequest& request);
Workflow StopGuestsWorkflow(const Core& core, const v1::StopGuestsRequest& request);
absl::StatusOr<Plan> PlanDeleteVolume(const Core& core, const v1::DeleteVolumeRequest& request);
Workflow DeleteVolumeWorkflow(const Core& core, const v1::DeleteVolumeRequest& request);
absl::StatusOr<Plan> PlanReinstallInstance(const Core& core,
                                           const v1::ReinstallInstanceRequest& request);
Workflow ReinstallInstanceWorkflow(const Core& core, const store::ReinstallRecord& record);
absl::StatusOr<Plan> PlanEnterRescue(const Core& core, const v1::EnterRescueRequest& request);
Workflow EnterRescueWorkflow(const Core& core, const v1::EnterRescueRequest& request);
absl::StatusOr<Plan> PlanExitRescue(const Core& core, const v1::ExitRescueRequest& request);
Workflow ExitRescueWorkflow(const Core& core, const v1::ExitRescueRequest& request);
// `domain` was read for the request, outside the engine's locks: the hypervisor may hang.
struct DomainToAdopt {
  hypervisor::DomainStatus status;
  hypervisor::DomainDefinition definition;
  // By target.
  std::map<std::string, uint64_t> disk_bytes;
};
absl::StatusOr<DomainToAdopt> ReadDomainToAdopt(const Core& core,
                                                const v1::AdoptInstanceRequest& request);
absl::StatusOr<Plan> PlanAdoptInstance(const Core& core, const v1::AdoptInstanceRequest& request,
                                       const absl::StatusOr<DomainToAdopt>& domain);
Workflow AdoptInstanceWorkflow(const Core& core, const v1::AdoptInstanceRequest& request);
absl::StatusOr<Plan> PlanRepairHost(const Core& core, const v1::RepairHostRequest& request);
Workflow RepairHostWorkflow(const Core& core, const v1::RepairHostRequest& request);

// Submits the operation that writes an instance's definition again from its record. The errors of
// OperationEngine::Submit; ADOPTED_INSTANCE, INVALID_INSTANCE_STATE, INSTANCE_NOT_FOUND.
absl::StatusOr<v1::Operation> RedefineDomain(const Core& core, const Caller& caller,
                                             const std::string& instance_id,
                                             const std::string& request_id);
Workflow RedefineDomainWorkflow(const Core& core, const store::RedefineDomainRequest& request);
Workflow ImportImageWorkflow(const Core& core, const v1::ImportImageRequest& request);
Workflow DeleteImageWorkflow(const Core& core, const v1::DeleteImageRequest& request);

// By the type of the record's request. INTERNAL for a type that this program does not know.
absl::StatusOr<Workflow> MakeWorkflow(const Core& core, const store::OperationRecord& record);

// Hard stops and deletions are urgent, imports are bulk.
Lane LaneOf(const store::OperationRecord& record);

}  // namespace cvm::agent::core
