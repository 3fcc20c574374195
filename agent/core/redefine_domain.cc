// SPDX-License-Identifier: Apache-2.0
//
// The agent's own operation on an instance whose definition is gone, or is not the record's: it is
// written again from the record. Nothing is started.
#include "absl/strings/str_join.h"
#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/event_log.h"
#include "agent/core/instance_files.h"
#include "agent/core/operation_engine.h"
#include "agent/core/planning.h"
#include "agent/core/power_monitor.h"
#include "agent/core/power_steps.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

absl::Status CheckOwn(const v1::Instance& instance) {
  if (instance.adopted()) {
    return Error(
        ErrorReason::ERROR_REASON_ADOPTED_INSTANCE,
        fmt::format("{} was adopted: its definition is not the agent's to write", instance.id()),
        {{"instance_id", instance.id()}});
  }
  if (HoldsResources(instance)) return absl::OkStatus();
  return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
               fmt::format("{} has no domain to define", instance.id()),
               {{"instance_id", instance.id()}});
}

absl::StatusOr<Plan> PlanRedefine(const Core& core, const store::RedefineDomainRequest& request) {
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  Plan plan = PlanFor(*instance, v1::Operation::REPAIR_HOST,
                      std::make_unique<store::RedefineDomainRequest>(request));
  if (!plan.target_was_busy) CVM_RETURN_IF_ERROR(CheckOwn(*instance));
  return plan;
}

absl::StatusOr<StepResult> Define(const Core& core, const std::string& id) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
  CVM_RETURN_IF_ERROR(CheckOwn(*instance));
  const std::vector<std::string> missing = MissingDisks(core.paths, *instance);
  if (!missing.empty()) {
    return Error(
        ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
        fmt::format("the files of disks of {} are gone: {}", id, absl::StrJoin(missing, ", ")),
        {{"instance_id", id}});
  }
  CVM_RETURN_IF_ERROR(
      core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, *instance)));
  CVM_RETURN_IF_ERROR(core.power.Refresh(core.hypervisor, instance->uuid()));
  v1::HostEvent event;
  event.set_kind(v1::HostEvent::REPAIRED);
  event.set_finding(v1::Finding::DOMAIN_MISSING);
  event.set_instance_id(id);
  event.set_domain_uuid(instance->uuid());
  event.set_domain_name(id);
  event.set_message(fmt::format("the definition of {} was written again from its record", id));
  core.events.Add(std::move(event));
  return StepResult::Done();
}

}  // namespace

absl::StatusOr<v1::Operation> RedefineDomain(const Core& core, const Caller& caller,
                                             const std::string& instance_id,
                                             const std::string& request_id) {
  store::RedefineDomainRequest request;
  request.set_instance_id(instance_id);
  return core.engine().Submit(caller, request, request_id, false,
                              [&] { return PlanRedefine(core, request); });
}

Workflow RedefineDomainWorkflow(const Core& core, const store::RedefineDomainRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = "writing the definition",
      .percent = 100,
      .run = [&core, id = request.instance_id()](StepContext&) { return Define(core, id); },
  });
  return workflow;
}

}  // namespace cvm::agent::core
