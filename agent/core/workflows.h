// SPDX-License-Identifier: Apache-2.0
//
// Every workflow, one file each: <action>.cc. A workflow is made from its record alone, so that the
// same steps are there after a restart of the agent.
#pragma once

#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "agent/core/workflow.h"
#include "cvm/agent/v1/image_service.pb.h"
#include "cvm/agent/v1/instance_service.pb.h"

namespace cvm::agent::core {

Workflow CreateInstanceWorkflow(const Core& core, const v1::CreateInstanceRequest& request);
Workflow DeleteInstanceWorkflow(const Core& core, const v1::DeleteInstanceRequest& request);
Workflow RestoreInstanceWorkflow(const Core& core, const v1::RestoreInstanceRequest& request);
Workflow StartInstanceWorkflow(const Core& core, const v1::StartInstanceRequest& request);
Workflow StopInstanceWorkflow(const Core& core, const v1::StopInstanceRequest& request);
Workflow RebootInstanceWorkflow(const Core& core, const v1::RebootInstanceRequest& request);
Workflow UpdateInstanceWorkflow(const Core& core, const v1::UpdateInstanceRequest& request);
Workflow ResizeInstanceWorkflow(const Core& core, const v1::ResizeInstanceRequest& request);
Workflow ImportImageWorkflow(const Core& core, const v1::ImportImageRequest& request);
Workflow DeleteImageWorkflow(const Core& core, const v1::DeleteImageRequest& request);

// By the type of the record's request. INTERNAL for a type that this program does not know.
absl::StatusOr<Workflow> MakeWorkflow(const Core& core, const store::OperationRecord& record);

// Hard stops and deletions are urgent, imports are bulk.
Lane LaneOf(const store::OperationRecord& record);

}  // namespace cvm::agent::core
