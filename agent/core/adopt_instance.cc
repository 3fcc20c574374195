// SPDX-License-Identifier: Apache-2.0
//
// AdoptInstance: a record is made of somebody else's domain, and the agent's element is written
// into the domain. Nothing else of it changes but libvirt's automatic start, which is turned off.
#include "agent/core/domain_builder.h"
#include "agent/core/planning.h"
#include "agent/core/power_monitor.h"
#include "agent/core/power_steps.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainDefinition;

constexpr size_t kMaxOwner = 128;
constexpr size_t kMaxName = 60;

// Whether libvirt was to start the domain by itself, for the undo: "on" or "off".
constexpr char kAutostart[] = "autostart";

absl::Status InUse(const std::string& domain, const std::string& instance_id) {
  return Error(ErrorReason::ERROR_REASON_DOMAIN_IN_USE,
               fmt::format("domain '{}' is instance {} already", domain, instance_id),
               {{"instance_id", instance_id}});
}

absl::Status CheckAdoptable(const DomainDefinition& definition) {
  if (!definition.persistent) {
    return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
                 fmt::format("domain '{}' has no definition and would be gone once it is off: "
                             "define it first",
                             definition.name));
  }
  if (definition.metadata.empty()) return absl::OkStatus();
  const absl::StatusOr<v1::Instance> other = InstanceOf(definition.metadata);
  return Error(ErrorReason::ERROR_REASON_DOMAIN_IN_USE,
               fmt::format("domain '{}' carries an agent's metadata{}: remove that first if it is "
                           "nobody's any more",
                           definition.name, other.ok() ? ", as " + other->id() : ""),
               {{"instance_id", other.ok() ? other->id() : ""}});
}

v1::InstanceSpec SpecOf(const Core& core, const DomainToAdopt& domain, const std::string& id) {
  const DomainDefinition& definition = domain.definition;
  v1::InstanceSpec spec;
  spec.set_name(CheckText("name", definition.name, 1, kMaxName).ok() ? definition.name : id);
  spec.set_vcpus(definition.vcpus);
  spec.set_memory_mib(definition.memory_mib);
  spec.set_machine_type(definition.machine_type);
  spec.mutable_properties()->set_firmware(
      definition.firmware == hypervisor::Firmware::kUefi ? v1::FIRMWARE_UEFI : v1::FIRMWARE_BIOS);
  for (const DomainDefinition::Disk& disk : definition.disks) {
    if (disk.cdrom) continue;
    v1::DiskSpec& shown =
        spec.has_system_disk() ? *spec.add_data_disks() : *spec.mutable_system_disk();
    shown.set_id(MakeId(kDiskPrefix, core.random));
    const auto bytes = domain.disk_bytes.find(disk.target);
    if (bytes != domain.disk_bytes.end()) shown.set_size_bytes(bytes->second);
  }
  for (const DomainDefinition::Nic& nic : definition.nics) {
    v1::NicSpec& shown = *spec.add_nics();
    shown.set_id(MakeId(kNicPrefix, core.random));
    shown.set_mac(nic.mac);
    for (const NetworkConfig& network : core.config.networks) {
      if (network.bridge == nic.bridge) shown.set_network_id(network.id);
    }
  }
  return spec;
}

bool IsOurs(const DomainDefinition& definition, const std::string& id) {
  const absl::StatusOr<v1::Instance> instance = InstanceOf(definition.metadata);
  return instance.ok() && instance->id() == id;
}

absl::StatusOr<StepResult> TakeOver(const Core& core, const std::string& id, StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, id));
  CVM_ASSIGN_OR_RETURN(const DomainDefinition definition,
                       core.hypervisor.GetDomainDefinition(instance->uuid()));
  // Ours when the step is run again.
  if (!IsOurs(definition, id)) CVM_RETURN_IF_ERROR(CheckAdoptable(definition));
  if (context.Note(kAutostart).empty()) {
    context.SetNote(kAutostart, definition.autostart ? "on" : "off");
    CVM_RETURN_IF_ERROR(context.SaveNotes());
  }
  CVM_RETURN_IF_ERROR(core.hypervisor.SetDomainMetadata(instance->uuid(), MetadataOf(*instance)));
  CVM_RETURN_IF_ERROR(core.hypervisor.SetAutostart(instance->uuid(), false));
  // Its events were nobody's until there was a record.
  CVM_RETURN_IF_ERROR(core.power.Refresh(core.hypervisor, instance->uuid()));
  return StepResult::Done();
}

absl::Status LetGo(const Core& core, const std::string& id, StepContext& context) {
  const InstancePtr instance = core.ledger.instances().Find(id);
  if (instance == nullptr || context.Note(kAutostart).empty()) return absl::OkStatus();
  const absl::StatusOr<DomainDefinition> definition =
      core.hypervisor.GetDomainDefinition(instance->uuid());
  if (ReasonOf(definition.status()) == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND) {
    return absl::OkStatus();
  }
  CVM_RETURN_IF_ERROR(definition.status());
  if (!IsOurs(*definition, id)) return absl::OkStatus();
  // The element last: it says that this undo is not done yet.
  if (context.Note(kAutostart) == "on" && definition->persistent) {
    CVM_RETURN_IF_ERROR(core.hypervisor.SetAutostart(instance->uuid(), true));
  }
  return core.hypervisor.SetDomainMetadata(instance->uuid(), "");
}

}  // namespace

absl::StatusOr<DomainToAdopt> ReadDomainToAdopt(const Core& core,
                                                const v1::AdoptInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  DomainToAdopt domain;
  CVM_ASSIGN_OR_RETURN(domain.status, core.hypervisor.GetDomain(request.uuid()));
  CVM_ASSIGN_OR_RETURN(domain.definition, core.hypervisor.GetDomainDefinition(request.uuid()));
  for (const DomainDefinition::Disk& disk : domain.definition.disks) {
    if (disk.cdrom || disk.path.empty()) continue;
    const absl::StatusOr<uint64_t> bytes =
        core.hypervisor.GetDiskBytes(request.uuid(), disk.target);
    if (bytes.ok()) {
      domain.disk_bytes[disk.target] = *bytes;
    } else {
      // It is shown with no size; a disk that is gone does not keep a domain from being known.
      CVM_LOG_WARNING("cannot measure {} of domain '{}': {}", disk.target, domain.status.name,
                      std::string(bytes.status().message()));
    }
  }
  return domain;
}

absl::StatusOr<Plan> PlanAdoptInstance(const Core& core, const v1::AdoptInstanceRequest& request,
                                       const absl::StatusOr<DomainToAdopt>& domain) {
  if (request.uuid().empty()) return MissingField("uuid");
  CVM_RETURN_IF_ERROR(CheckText("uuid", request.uuid(), 1, 36));
  CVM_RETURN_IF_ERROR(CheckText("owner", request.owner(), 0, kMaxOwner));
  if (!request.instance_id().empty()) {
    CVM_RETURN_IF_ERROR(CheckId("instance_id", kInstancePrefix, request.instance_id()));
  }
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  CVM_RETURN_IF_ERROR(domain.status());
  const InstanceTable& instances = core.ledger.instances();
  const std::string& uuid = domain->status.uuid;
  if (const InstancePtr other = instances.FindByUuid(uuid)) {
    return InUse(domain->status.name, other->id());
  }
  if (instances.All().size() >= static_cast<size_t>(core.config.limits.max_instances)) {
    return Error(ErrorReason::ERROR_REASON_TOO_MANY_INSTANCES,
                 fmt::format("this host takes {} instances", core.config.limits.max_instances),
                 {{"limit", std::to_string(core.config.limits.max_instances)}});
  }
  auto filled = std::make_unique<v1::AdoptInstanceRequest>(request);
  if (request.instance_id().empty()) {
    do {
      filled->set_instance_id(MakeId(kInstancePrefix, core.random));
    } while (instances.Find(filled->instance_id()) != nullptr);
  } else if (instances.Find(request.instance_id()) != nullptr) {
    return Error(ErrorReason::ERROR_REASON_INSTANCE_EXISTS,
                 fmt::format("there is an instance {} already", request.instance_id()),
                 {{"instance_id", request.instance_id()}});
  }
  CVM_RETURN_IF_ERROR(CheckAdoptable(domain->definition));

  const bool on = domain->status.state != hypervisor::PowerState::kStopped;
  v1::Instance instance;
  instance.set_id(filled->instance_id());
  instance.set_uuid(uuid);
  instance.set_owner(request.owner());
  instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
  instance.set_wanted_power(on ? v1::WANTED_POWER_ON : v1::WANTED_POWER_OFF);
  instance.set_domain_name(domain->status.name);
  instance.set_adopted(true);
  *instance.mutable_spec() = SpecOf(core, *domain, instance.id());
  *instance.mutable_create_time() = ToTimestamp(core.clock.Now());
  // Until the step has looked.
  instance.mutable_observed_power()->set_state(v1::ObservedPower::UNKNOWN);
  instance.mutable_observed_power()->set_reason("not-adopted-yet");
  *instance.mutable_observed_power()->mutable_observed_at() = instance.create_time();

  Plan plan;
  plan.action = v1::Operation::ADOPT_INSTANCE;
  plan.target_id = instance.id();
  plan.change.new_instances.push_back(std::move(instance));
  plan.request = std::move(filled);
  return plan;
}

Workflow AdoptInstanceWorkflow(const Core& core, const v1::AdoptInstanceRequest& request) {
  const std::string& id = request.instance_id();
  Workflow workflow;
  workflow.steps.push_back({
      .name = "taking over the domain",
      .percent = 90,
      .run = [&core, id](StepContext& context) { return TakeOver(core, id, context); },
      .undo = [&core, id](StepContext& context) { return LetGo(core, id, context); },
  });
  workflow.steps.push_back({
      .name = "looking at the domain",
      .percent = 100,
      .run =
          [&core, id](StepContext&) {
            return WaitForPower(core, id, [](v1::ObservedPower::State state) {
              return state != v1::ObservedPower::UNKNOWN;
            });
          },
  });
  workflow.on_failed = [id](LedgerChange& change) { change.erase_instances.push_back(id); };
  return workflow;
}

}  // namespace cvm::agent::core
