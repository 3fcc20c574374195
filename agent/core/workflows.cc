// SPDX-License-Identifier: Apache-2.0
#include "agent/core/workflows.h"

#include "common/errors.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// The workflow when the record's request is a `Request`, made by `make`.
template <class Request>
bool TryMake(const Core& core, const store::OperationRecord& record,
             Workflow (*make)(const Core&, const Request&), Workflow* workflow) {
  Request request;
  if (!record.request().UnpackTo(&request)) return false;
  *workflow = make(core, request);
  return true;
}

}  // namespace

absl::StatusOr<Workflow> MakeWorkflow(const Core& core, const store::OperationRecord& record) {
  Workflow workflow;
  if (TryMake(core, record, CreateInstanceWorkflow, &workflow) ||
      TryMake(core, record, DeleteInstanceWorkflow, &workflow) ||
      TryMake(core, record, RestoreInstanceWorkflow, &workflow) ||
      TryMake(core, record, StartInstanceWorkflow, &workflow) ||
      TryMake(core, record, StopInstanceWorkflow, &workflow) ||
      TryMake(core, record, RebootInstanceWorkflow, &workflow) ||
      TryMake(core, record, UpdateInstanceWorkflow, &workflow) ||
      TryMake(core, record, ResizeInstanceWorkflow, &workflow) ||
      TryMake(core, record, AdoptInstanceWorkflow, &workflow) ||
      TryMake(core, record, RepairHostWorkflow, &workflow) ||
      TryMake(core, record, RedefineDomainWorkflow, &workflow) ||
      TryMake(core, record, ImportImageWorkflow, &workflow) ||
      TryMake(core, record, DeleteImageWorkflow, &workflow)) {
    return workflow;
  }
  return Error(ErrorReason::ERROR_REASON_INTERNAL,
               fmt::format("operation {} is of a kind that this program does not know: {}",
                           record.operation().id(), record.request().type_url()));
}

Lane LaneOf(const store::OperationRecord& record) {
  if (record.request().Is<v1::ImportImageRequest>()) return Lane::kBulk;
  if (record.request().Is<v1::DeleteInstanceRequest>()) return Lane::kUrgent;
  v1::StopInstanceRequest stop;
  if (record.request().UnpackTo(&stop) && stop.mode() == v1::STOP_MODE_HARD) return Lane::kUrgent;
  return Lane::kNormal;
}

}  // namespace cvm::agent::core
