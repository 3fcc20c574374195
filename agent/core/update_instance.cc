// SPDX-License-Identifier: Apache-2.0
//
// UpdateInstance: the domain's definition is written anew, since its metadata element holds the
// whole spec, and with that the record.
#include <algorithm>

#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/status_macros.h"

namespace cvm::agent::core {
namespace {

void Apply(const v1::UpdateInstanceRequest& request, v1::Instance& instance) {
  v1::InstanceSpec& spec = *instance.mutable_spec();
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "owner") {
      instance.set_owner(request.owner());
    } else if (path == "spec.name") {
      spec.set_name(request.spec().name().empty() ? instance.id() : request.spec().name());
    } else if (path == "spec.description") {
      spec.set_description(request.spec().description());
    } else if (path == "spec.tags") {
      *spec.mutable_tags() = request.spec().tags();
    } else if (path == "spec.termination_protection") {
      spec.set_termination_protection(request.spec().termination_protection());
    }
  }
}

bool Names(const v1::UpdateInstanceRequest& request, std::string_view path) {
  const auto& paths = request.update_mask().paths();
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

absl::Status WriteDefinition(const Core& core, const v1::Instance& instance) {
  if (!HasDomain(instance)) return absl::OkStatus();
  // Of an adopted domain only the element is the agent's.
  if (instance.adopted()) {
    return core.hypervisor.SetDomainMetadata(instance.uuid(), MetadataOf(instance));
  }
  return core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, instance));
}

}  // namespace

absl::StatusOr<Plan> PlanUpdateInstance(const Core& core,
                                        const v1::UpdateInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(ValidateUpdate(request));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(RequireEtag(request.etag(), instance->etag()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::UPDATE_INSTANCE));
  Plan made = PlanFor(*instance, v1::Operation::UPDATE_INSTANCE,
                      std::make_unique<v1::UpdateInstanceRequest>(request));
  made.secrets.user_data = request.spec().user_data();
  return made;
}

Workflow UpdateInstanceWorkflow(const Core& core, const v1::UpdateInstanceRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  workflow.steps.push_back({
      .name = "writing the definition",
      .percent = 100,
      .run = [&core, id, request](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr present, RequireInstance(core, id));
        v1::Instance changed = *present;
        Apply(request, changed);
        CVM_RETURN_IF_ERROR(WriteDefinition(core, changed));
        if (Names(request, "spec.user_data")) {
          Store& store = core.ledger.store();
          CVM_ASSIGN_OR_RETURN(InstanceSecrets secrets, store.LoadSecrets(id));
          CVM_ASSIGN_OR_RETURN(InstanceSecrets given,
                               store.LoadOperationSecrets(context.operation().id()));
          secrets.user_data = std::move(given.user_data);
          context.change().put_secrets.emplace_back(id, std::move(secrets));
        }
        context.change().UpdateInstance(
            id, [request](v1::Instance& instance) { Apply(request, instance); });
        return StepResult::Done();
      },
      .undo = [&core, id](StepContext&) -> absl::Status {
        const InstancePtr present = core.ledger.instances().Find(id);
        return present == nullptr ? absl::OkStatus() : WriteDefinition(core, *present);
      },
  });
  return workflow;
}

}  // namespace cvm::agent::core
