// SPDX-License-Identifier: Apache-2.0
//
// ReinstallInstance: a new system disk with a new config drive beside the old ones, the definition
// written anew, and the old ones removed once the new guest is in place. Everything that is chosen
// stands in the operation's record, with what there was before.
#include <algorithm>

#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/host_capacity.h"
#include "agent/core/instance_files.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30;

// What a reinstall changes in an instance.
void CopyInstalled(const v1::Instance& from, v1::Instance& to) {
  *to.mutable_spec() = from.spec();
  to.set_config_drive_generation(from.config_drive_generation());
  to.set_install_generation(from.install_generation());
}

absl::StatusOr<uint64_t> ChooseSize(const Core& core, uint64_t asked, uint64_t present,
                                    uint64_t image) {
  const uint64_t configured =
      static_cast<uint64_t>(core.config.limits.reinstall_min_disk_gib) * kGib;
  const uint64_t least = std::max({present, image, configured});
  if (asked == 0) return least;
  if (asked >= least) return asked;
  const char* const why = present == least ? "the present disk has"
                          : image == least ? "the image needs"
                                           : "a reinstalled disk has at least";
  return Error(ErrorReason::ERROR_REASON_DISK_TOO_SMALL,
               fmt::format("{} bytes are asked for the system disk, {} {}", asked, why, least),
               {{"field", "system_disk_size_bytes"}, {"limit", std::to_string(least)}});
}

// The instance as it is after the reinstall.
absl::StatusOr<v1::Instance> Choose(const Core& core, const v1::ReinstallInstanceRequest& request,
                                    const v1::Instance& present) {
  v1::Instance after = present;
  v1::InstanceSpec& spec = *after.mutable_spec();
  if (!request.image_id().empty()) spec.set_image_id(request.image_id());
  CVM_ASSIGN_OR_RETURN(const v1::Image image, FindReadyImage(core, spec.image_id(), "image_id"));
  if (spec.image_id() != present.spec().image_id()) {
    *spec.mutable_properties() = image.properties();
  }
  if (spec.properties().machine_family() != present.spec().properties().machine_family()) {
    CVM_ASSIGN_OR_RETURN(*spec.mutable_machine_type(), NewestMachineType(core, spec.properties()));
  }
  CVM_RETURN_IF_ERROR(ValidateForGuest(spec));
  CVM_ASSIGN_OR_RETURN(const uint64_t size,
                       ChooseSize(core, request.system_disk_size_bytes(),
                                  spec.system_disk().size_bytes(), image.virtual_size_bytes()));
  spec.mutable_system_disk()->set_id(NewDiskId(core));
  spec.mutable_system_disk()->set_size_bytes(size);
  if (request.keep_image_login()) {
    spec.clear_login();
  } else if (GivesLogin(request.login())) {
    *spec.mutable_login() = request.login();
    spec.mutable_login()->clear_password_hash();
  }
  after.set_config_drive_generation(present.config_drive_generation() + 1);
  after.set_install_generation(present.install_generation() + 1);
  return after;
}

// The secrets that are kept for the guest, with the password that the operation brought.
absl::StatusOr<InstanceSecrets> SecretsAfter(const Core& core, const std::string& id,
                                             bool replaces_password,
                                             const std::string& password_hash) {
  CVM_ASSIGN_OR_RETURN(InstanceSecrets secrets, core.ledger.store().LoadSecrets(id));
  if (replaces_password) secrets.password_hash = password_hash;
  return secrets;
}

absl::StatusOr<InstanceSecrets> SecretsAfter(const Core& core, const store::ReinstallRecord& record,
                                             const StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstanceSecrets brought,
                       core.ledger.store().LoadOperationSecrets(context.operation().id()));
  return SecretsAfter(core, record.instance_id(), record.replaces_password(),
                      brought.password_hash);
}

// Defines the guest and notes it down.
absl::Status Define(const Core& core, const v1::Instance& installed, const v1::Instance& present,
                    StepContext& context) {
  v1::Instance changed = present;
  CopyInstalled(installed, changed);
  CVM_RETURN_IF_ERROR(core.hypervisor.DefineDomain(BuildDomain(core.config, core.paths, changed)));
  context.change().UpdateInstance(
      present.id(), [installed](v1::Instance& instance) { CopyInstalled(installed, instance); });
  return absl::OkStatus();
}

// The files of one of the two guests that the other has not.
absl::Status RemoveFiles(const Core& core, const std::string& id, const v1::Instance& installed) {
  CVM_RETURN_IF_ERROR(RemoveFile(core.paths.Nvram(id, installed.install_generation())));
  CVM_RETURN_IF_ERROR(RemoveFile(core.paths.ConfigDrive(id, installed.config_drive_generation())));
  return RemoveFile(core.paths.Volume(installed.spec().system_disk().id()));
}

Step MakeFilesStep(const Core& core, const store::ReinstallRecord& record) {
  return {
      .name = "making the new system disk",
      .percent = 50,
      .run = [&core, record](StepContext& context) -> absl::StatusOr<StepResult> {
        const v1::InstanceSpec& spec = record.after().spec();
        const std::string& id = record.instance_id();
        CVM_RETURN_IF_ERROR(core.disk_images.CreateOverlay(
            core.paths.Volume(spec.system_disk().id()), core.paths.Image(spec.image_id()),
            spec.system_disk().size_bytes()));
        CVM_ASSIGN_OR_RETURN(const InstancePtr present, RequireInstance(core, id));
        CVM_ASSIGN_OR_RETURN(const InstanceSecrets secrets, SecretsAfter(core, record, context));
        v1::Instance after = *present;
        CopyInstalled(record.after(), after);
        CVM_RETURN_IF_ERROR(
            WriteConfigDrive(core.paths.ConfigDrive(id, after.config_drive_generation()),
                             BuildGuestSettings(core.config, after, secrets)));
        return StepResult::Done();
      },
      .undo = [&core, record](
                  StepContext&) { return RemoveFiles(core, record.instance_id(), record.after()); },
  };
}

Step DefineStep(const Core& core, const store::ReinstallRecord& record) {
  return {
      .name = "defining the new guest",
      .percent = 70,
      .run = [&core, record](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr present,
                             RequireInstance(core, record.instance_id()));
        CVM_RETURN_IF_ERROR(RequireDomainOff(core, *present));
        CVM_RETURN_IF_ERROR(Define(core, record.after(), *present, context));
        return StepResult::Done();
      },
      .undo = [&core, record](StepContext& context) -> absl::Status {
        const InstancePtr present = core.ledger.instances().Find(record.instance_id());
        return present == nullptr ? absl::OkStatus()
                                  : Define(core, record.before(), *present, context);
      },
  };
}

}  // namespace

absl::StatusOr<Plan> PlanReinstallInstance(const Core& core,
                                           const v1::ReinstallInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(ValidateReinstall(request));
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, FindInstance(core, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckAction(core, *instance, v1::Operation::REINSTALL_INSTANCE));
  CVM_ASSIGN_OR_RETURN(const v1::Instance after, Choose(core, request, *instance));

  auto record = std::make_unique<store::ReinstallRecord>();
  record->set_instance_id(instance->id());
  CopyInstalled(*instance, *record->mutable_before());
  CopyInstalled(after, *record->mutable_after());
  record->set_replaces_password(request.keep_image_login() || GivesLogin(request.login()));
  CVM_ASSIGN_OR_RETURN(const InstanceSecrets secrets,
                       SecretsAfter(core, instance->id(), record->replaces_password(),
                                    request.login().password_hash()));
  const absl::Status told =
      cloudinit::ValidateGuestSettings(BuildGuestSettings(core.config, after, secrets));
  if (!told.ok()) return InvalidField("login", std::string(told.message()));

  Plan made = PlanFor(*instance, v1::Operation::REINSTALL_INSTANCE, std::move(record));
  // Of a busy instance the engine will not take the plan.
  if (made.target_was_busy) return made;
  CVM_RETURN_IF_ERROR(RequireOffOrForce(*instance, request.force_stop()));
  // For a moment both disks exist. What the old one was promised is enough for that but for the
  // growth: the new one is sparse, and has only begun to be written to when the old one goes.
  CVM_RETURN_IF_ERROR(
      CheckCapacity(core, {.disk_bytes = after.spec().system_disk().size_bytes() -
                                         instance->spec().system_disk().size_bytes(),
                           .makes_files = true,
                           .starts = false}));
  if (IsOn(instance->observed_power().state())) made.notes[kWasOnNote] = "1";
  made.secrets.password_hash = request.login().password_hash();
  return made;
}

Workflow ReinstallInstanceWorkflow(const Core& core, const store::ReinstallRecord& record) {
  const std::string& id = record.instance_id();
  Workflow workflow;
  workflow.steps.push_back(PowerOffForChangeStep(core, id, 20));
  workflow.steps.push_back(MakeFilesStep(core, record));
  workflow.steps.push_back(DefineStep(core, record));
  workflow.steps.push_back(PowerOnAgainStep(core, id, 90));
  workflow.steps.push_back({
      .name = "removing the old system disk",
      .percent = 100,
      .run = [&core, record](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_RETURN_IF_ERROR(RemoveFiles(core, record.instance_id(), record.before()));
        CVM_ASSIGN_OR_RETURN(InstanceSecrets secrets, SecretsAfter(core, record, context));
        context.change().put_secrets.emplace_back(record.instance_id(), std::move(secrets));
        return StepResult::Done();
      },
      .forward_only = true,
  });
  return workflow;
}

}  // namespace cvm::agent::core
