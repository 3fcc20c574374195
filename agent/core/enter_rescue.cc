// SPDX-License-Identifier: Apache-2.0
//
// EnterRescue: power off, make the rescue system's disk and config drive, define it, start it. The
// instance's record says from the submission on that it is in rescue and what it goes back to, so
// its definition can be made from the record alone at any time.
#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/host_capacity.h"
#include "agent/core/instance_files.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/rescue_files.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// What the configuration says to boot, and the disk that it takes.
struct Medium {
  v1::Rescue rescue;
  Demand demand;
};

absl::StatusOr<Medium> ChooseMedium(const Core& core, const v1::Instance& instance) {
  const Config::Rescue& config = core.config.rescue;
  const v1::InstanceSpec& spec = instance.spec();
  Medium medium;
  medium.demand.makes_files = true;
  v1::Rescue& rescue = medium.rescue;
  if (!config.image_id.empty()) {
    CVM_ASSIGN_OR_RETURN(const v1::Image image,
                         FindReadyImage(core, config.image_id, "rescue.image_id"));
    rescue.set_image_id(image.id());
    rescue.mutable_disk()->set_id(NewDiskId(core));
    rescue.mutable_disk()->set_size_bytes(image.virtual_size_bytes());
    *rescue.mutable_properties() = image.properties();
    medium.demand.disk_bytes = image.virtual_size_bytes();
  } else if (!config.iso.empty()) {
    CVM_ASSIGN_OR_RETURN(medium.demand.file_bytes, RescueIsoBytes(core));
    rescue.set_iso(config.iso);
    *rescue.mutable_properties() = spec.properties();
  } else {
    return Error(ErrorReason::ERROR_REASON_RESCUE_NOT_CONFIGURED,
                 "this host has no rescue system: set image_id or iso in the table [rescue] of the "
                 "agent's configuration",
                 {{"instance_id", instance.id()}});
  }
  if (rescue.properties().machine_family() == spec.properties().machine_family()) {
    rescue.set_machine_type(spec.machine_type());
  } else {
    CVM_ASSIGN_OR_RETURN(*rescue.mutable_machine_type(),
                         NewestMachineType(core, rescue.properties()));
  }
  return medium;
}

v1::Instance WithoutRescue(const v1::Instance& instance) {
  v1::Instance former = instance;
  former.clear_rescue();
  return former;
}

absl::StatusOr<StepResult> MakeFiles(const Core& core, const v1::EnterRescueRequest& request,
                                     StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(MakeRescueMedium(core, *instance, context));
  CVM_ASSIGN_OR_RETURN(const InstanceSecrets secrets,
                       core.ledger.store().LoadOperationSecrets(context.operation().id()));
  CVM_RETURN_IF_ERROR(WriteConfigDrive(
      core.paths.RescueConfigDrive(instance->id()),
      BuildRescueSettings(core.config, *instance, request.login(), secrets.password_hash)));
  return StepResult::Done();
}

}  // namespace

absl::StatusOr<Plan> PlanEnterRescue(const Core& core, const v1::EnterRescueRequest& request) {
  CVM_RETURN_IF_ERROR(ValidateRescue(request));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::ENTER_RESCUE));
  CVM_ASSIGN_OR_RETURN(Medium medium, ChooseMedium(core, *instance));
  if (medium.rescue.has_disk() && !GivesLogin(request.login())) return MissingField("login");
  auto filled = std::make_unique<v1::EnterRescueRequest>(request);
  filled->mutable_login()->clear_password_hash();
  Plan made = PlanFor(*instance, v1::Operation::ENTER_RESCUE, std::move(filled));
  // Of a busy instance the engine will not take the plan.
  if (made.target_was_busy) return made;

  CVM_RETURN_IF_ERROR(RequireOffOrForce(*instance, request.force_stop()));
  if (instance->wanted_power() != v1::WANTED_POWER_ON) {
    medium.demand.vcpus = instance->spec().vcpus();
    medium.demand.memory_mib = instance->spec().memory_mib();
    medium.demand.starts = true;
  } else {
    // Its vCPUs and memory are counted already.
    medium.demand.starts = false;
  }
  CVM_RETURN_IF_ERROR(CheckCapacity(core, medium.demand));

  const bool on = IsOn(instance->observed_power().state());
  if (on) made.notes[kWasOnNote] = "1";
  made.secrets.password_hash = request.login().password_hash();
  v1::Rescue& rescue = medium.rescue;
  *rescue.mutable_begin_time() = ToTimestamp(core.clock.Now());
  rescue.set_former_wanted_power(instance->wanted_power());
  rescue.set_was_on(on);
  made.change.UpdateInstance(instance->id(), [rescue](v1::Instance& changed) {
    *changed.mutable_rescue() = rescue;
    changed.set_wanted_power(v1::WANTED_POWER_ON);
  });
  return made;
}

Workflow EnterRescueWorkflow(const Core& core, const v1::EnterRescueRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  workflow.steps.push_back(PowerOffForChangeStep(core, id, 20));
  workflow.steps.push_back({
      .name = "making the rescue system",
      .percent = 60,
      .run = [&core, request](StepContext& context) { return MakeFiles(core, request, context); },
      .undo = [&core, id](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(id);
        return instance == nullptr ? absl::OkStatus() : RemoveRescueFiles(core.paths, *instance);
      },
  });
  workflow.steps.push_back({
      .name = "defining the rescue system",
      .percent = 80,
      .run = [&core, id](StepContext&) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
        CVM_RETURN_IF_ERROR(RequireDomainOff(core, *instance));
        CVM_RETURN_IF_ERROR(
            core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, *instance)));
        return StepResult::Done();
      },
      .undo = [&core, id](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(id);
        if (instance == nullptr) return absl::OkStatus();
        return core.hypervisor.DefineDomain(
            BuildDomain(core.config, core.paths, WithoutRescue(*instance)));
      },
  });
  workflow.steps.push_back(StartDomainStep(core, id, 100));
  workflow.on_failed = [id](LedgerChange& change) {
    change.UpdateInstance(id, [](v1::Instance& instance) {
      if (!instance.has_rescue()) return;
      instance.set_wanted_power(instance.rescue().former_wanted_power());
      instance.clear_rescue();
    });
  };
  return workflow;
}

}  // namespace cvm::agent::core
