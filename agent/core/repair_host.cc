// SPDX-License-Identifier: Apache-2.0
//
// RepairHost: looks as CheckHost does and removes or defines again what was found. What is about an
// instance is an operation of its own on that instance, so that it never meets another one.
#include <algorithm>

#include "agent/core/event_log.h"
#include "agent/core/host_check.h"
#include "agent/core/operation_engine.h"
#include "agent/core/planning.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using v1::Finding;
using v1::Operation;

// The children of one repair, under ids of their own that a repetition finds again.
constexpr absl::Duration kLookAgain = absl::Milliseconds(200);

bool Asked(const v1::RepairHostRequest& request, const Finding& finding) {
  return finding.repairable() && std::find(request.kinds().begin(), request.kinds().end(),
                                           finding.kind()) != request.kinds().end();
}

void Tell(const Core& core, const Finding& finding, const std::string& message) {
  v1::HostEvent event;
  event.set_kind(v1::HostEvent::REPAIRED);
  event.set_finding(finding.kind());
  event.set_instance_id(finding.instance_id());
  event.set_domain_uuid(finding.domain_uuid());
  event.set_message(message);
  core.events.Add(std::move(event));
}

absl::StatusOr<StepResult> RemoveOrphans(const Core& core, const v1::RepairHostRequest& request,
                                         StepContext& context) {
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  CVM_ASSIGN_OR_RETURN(const DomainFindings domains, CheckDomains(core));
  if (!domains.lost.empty()) {
    // Their files are not orphans, and their other traces are not known before they are back.
    return Error(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE,
                 "there are domains whose records are still to be rebuilt: try again");
  }
  CVM_ASSIGN_OR_RETURN(const std::vector<Finding> findings, CheckFiles(core, domains.paths_in_use));
  for (const Finding& finding : findings) {
    if (!Asked(request, finding)) continue;
    if (context.Cancelled()) {
      return Error(ErrorReason::ERROR_REASON_OPERATION_CANCELLED, "cancelled on request");
    }
    CVM_RETURN_IF_ERROR(RemoveOrphan(core, finding));
    Tell(core, finding, fmt::format("removed {}", finding.object()));
  }
  return StepResult::Done();
}

absl::StatusOr<StepResult> Redefine(const Core& core, const v1::RepairHostRequest& request,
                                    StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const DomainFindings domains, CheckDomains(core));
  bool waits = false;
  for (const Finding& finding : domains.findings) {
    if (!Asked(request, finding)) continue;
    const std::string request_id =
        fmt::format("{}/{}", context.operation().id(), finding.instance_id());
    const absl::StatusOr<Operation> child =
        RedefineDomain(core, {.scope = "agent"}, finding.instance_id(), request_id);
    // Busy by now: whatever is under way knows better what its definition is to be.
    if (ReasonOf(child.status()) == ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS) continue;
    CVM_RETURN_IF_ERROR(child.status());
    if (child->state() == Operation::FAILED) return FromProto(child->error());
    if (child->state() == Operation::OPERATING) waits = true;
  }
  // Those that are under way are left out of the findings.
  const std::string children = context.operation().id() + "/";
  for (const InstancePtr& instance : core.ledger.instances().All()) {
    const Operation& latest = instance->latest_operation();
    if (latest.state() == Operation::OPERATING &&
        latest.request_id().compare(0, children.size(), children) == 0) {
      waits = true;
    }
  }
  return waits ? StepResult::WaitAtMost(kLookAgain) : StepResult::Done();
}

}  // namespace

absl::StatusOr<Plan> PlanRepairHost(const Core& core, const v1::RepairHostRequest& request) {
  CVM_RETURN_IF_ERROR(CheckEnums(request));
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  auto filled = std::make_unique<v1::RepairHostRequest>(request);
  for (const int kind : request.kinds()) {
    if (!IsRepairable(static_cast<Finding::Kind>(kind))) {
      return InvalidField("kinds",
                          fmt::format("there is no repair for {}",
                                      Finding::Kind_Name(static_cast<Finding::Kind>(kind))));
    }
  }
  if (request.kinds().empty()) {
    for (int kind = Finding::Kind_MIN; kind <= Finding::Kind_MAX; ++kind) {
      if (Finding::Kind_IsValid(kind) && IsRepairedByDefault(static_cast<Finding::Kind>(kind))) {
        filled->add_kinds(static_cast<Finding::Kind>(kind));
      }
    }
  }
  Plan plan;
  plan.action = Operation::REPAIR_HOST;
  plan.target_id = "host";
  plan.request = std::move(filled);
  return plan;
}

Workflow RepairHostWorkflow(const Core& core, const v1::RepairHostRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = "removing what nobody owns",
      .percent = 50,
      .run = [&core,
              request](StepContext& context) { return RemoveOrphans(core, request, context); },
  });
  workflow.steps.push_back({
      .name = "defining domains again",
      .percent = 100,
      .run = [&core, request](StepContext& context) { return Redefine(core, request, context); },
  });
  return workflow;
}

}  // namespace cvm::agent::core
