// SPDX-License-Identifier: Apache-2.0
//
// The part of CheckHost that compares libvirt's domains with the records.
#include <map>
#include <set>

#include "absl/strings/str_join.h"
#include "agent/core/derive_state.h"
#include "agent/core/domain_builder.h"
#include "agent/core/host_check.h"
#include "agent/core/instance_files.h"
#include "agent/core/planning.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/domain_definition.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainStatus;
using v1::Finding;

bool IsGone(const absl::Status& status) {
  return ReasonOf(status) == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND;
}

Finding Of(const v1::Instance& instance, Finding::Kind kind, std::string message) {
  Finding finding;
  finding.set_kind(kind);
  finding.set_object(instance.id());
  finding.set_instance_id(instance.id());
  finding.set_domain_uuid(instance.uuid());
  finding.set_message(std::move(message));
  return finding;
}

// It is to have a domain, and nothing is under way that says what that looks like.
bool IsAtRest(const v1::Instance& instance) {
  return HoldsResources(instance) && !IsBusy(instance) && instance.state() != v1::RESCUE;
}

// What is true of the one instance. `domain` is null when libvirt has none.
absl::StatusOr<std::vector<Finding>> CheckInstance(const Core& core, const v1::Instance& instance,
                                                   const DomainStatus* domain) {
  std::vector<Finding> findings;
  const std::vector<std::string> missing =
      instance.adopted() ? std::vector<std::string>() : MissingDisks(core.paths, instance);
  for (const std::string& disk : missing) {
    findings.push_back(Of(instance, Finding::DISK_MISSING,
                          fmt::format("the file of disk {} of {} is gone", disk, instance.id())));
    findings.back().set_object(disk);
  }
  if (domain == nullptr) {
    const absl::Status looked = core.hypervisor.GetDomain(instance.uuid()).status();
    if (looked.ok()) return findings;
    if (!IsGone(looked)) return looked;
    findings.push_back(
        Of(instance, Finding::DOMAIN_MISSING,
           fmt::format("libvirt has no domain for {}: somebody undefined it", instance.id())));
    findings.back().set_repairable(!instance.adopted() && missing.empty());
    return findings;
  }
  const std::string& name = instance.domain_name().empty() ? instance.id() : instance.domain_name();
  if (domain->name != name) {
    findings.push_back(Of(instance, Finding::DOMAIN_RENAMED,
                          fmt::format("the domain of {} is called '{}' instead of '{}': rename it "
                                      "back",
                                      instance.id(), domain->name, name)));
  }
  if (domain->has_managed_save) {
    findings.push_back(
        Of(instance, Finding::MANAGED_SAVE,
           fmt::format("somebody saved the memory of {}: the agent does not start it "
                       "until that is resumed or dropped",
                       instance.id())));
  }
  if (!domain->persistent) {
    findings.push_back(
        Of(instance, Finding::DOMAIN_TRANSIENT,
           fmt::format("somebody undefined the domain of {} while it runs", instance.id())));
    findings.back().set_repairable(!instance.adopted() && missing.empty());
    return findings;
  }
  if (instance.adopted()) return findings;
  const absl::StatusOr<hypervisor::DomainDefinition> found =
      core.hypervisor.GetDomainDefinition(instance.uuid());
  if (IsGone(found.status())) return findings;
  CVM_RETURN_IF_ERROR(found.status());
  const std::vector<std::string> differences = hypervisor::DifferencesOf(
      hypervisor::DefinitionOf(BuildDomain(core.config, core.paths, instance)), *found);
  if (!differences.empty()) {
    findings.push_back(Of(instance, Finding::DEFINITION_DRIFT,
                          fmt::format("the definition of {} is not the record's: {}", instance.id(),
                                      absl::StrJoin(differences, "; "))));
    findings.back().set_repairable(missing.empty());
  }
  return findings;
}

bool SharesADisk(const Core& core, const v1::Instance& lost) {
  std::set<std::string> disks = {lost.spec().system_disk().id()};
  for (const v1::DiskSpec& disk : lost.spec().data_disks()) disks.insert(disk.id());
  for (const InstancePtr& other : core.ledger.instances().All()) {
    if (disks.contains(other->spec().system_disk().id())) return true;
    for (const v1::DiskSpec& disk : other->spec().data_disks()) {
      if (disks.contains(disk.id())) return true;
    }
  }
  return false;
}

// A domain whose UUID no record has.
absl::Status CheckStranger(const Core& core, const DomainStatus& domain, DomainFindings& result) {
  // Records are erased after their domains and their elements: one that still has its element now
  // has lost its record.
  const absl::StatusOr<hypervisor::DomainDefinition> definition =
      core.hypervisor.GetDomainDefinition(domain.uuid);
  if (IsGone(definition.status())) return absl::OkStatus();
  CVM_RETURN_IF_ERROR(definition.status());
  for (const auto& disk : definition->disks) result.paths_in_use.insert(disk.path);
  Finding finding;
  finding.set_kind(Finding::FOREIGN_DOMAIN);
  finding.set_object(domain.name);
  finding.set_domain_uuid(domain.uuid);
  finding.set_message(fmt::format("domain '{}' is not the agent's: it is left alone", domain.name));
  if (!definition->metadata.empty()) {
    absl::StatusOr<v1::Instance> lost = InstanceOf(definition->metadata);
    if (!lost.ok()) {
      finding.set_message(
          fmt::format("domain '{}' has an element of the agent's that cannot be "
                      "read: it is left alone",
                      domain.name));
    } else if (lost->uuid() != domain.uuid || core.ledger.instances().Find(lost->id()) != nullptr ||
               SharesADisk(core, *lost)) {
      finding.set_message(
          fmt::format("domain '{}' carries the element of {}, of which it is a copy: "
                      "it is left alone",
                      domain.name, lost->id()));
    } else if (!domain.persistent) {
      finding.set_message(
          fmt::format("domain '{}' was {}'s and has lost its record and its "
                      "definition: define it again to have it back",
                      domain.name, lost->id()));
    } else {
      finding.set_instance_id(lost->id());
      finding.set_message(
          fmt::format("domain '{}' is {}, whose record is lost: it is rebuilt with "
                      "the next comparison",
                      domain.name, lost->id()));
      result.lost.push_back({*std::move(lost), domain});
    }
  }
  result.findings.push_back(std::move(finding));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<DomainFindings> CheckDomains(const Core& core) {
  CVM_ASSIGN_OR_RETURN(const std::vector<DomainStatus> domains, core.hypervisor.ListDomains());
  DomainFindings result;
  std::map<std::string, const DomainStatus*> by_uuid;
  for (const DomainStatus& domain : domains) {
    by_uuid[domain.uuid] = &domain;
    if (core.ledger.instances().FindByUuid(domain.uuid) != nullptr) continue;
    CVM_RETURN_IF_ERROR(CheckStranger(core, domain, result));
  }
  for (const InstancePtr& instance : core.ledger.instances().All()) {
    if (!IsAtRest(*instance)) continue;
    const auto domain = by_uuid.find(instance->uuid());
    CVM_ASSIGN_OR_RETURN(
        std::vector<Finding> findings,
        CheckInstance(core, *instance, domain == by_uuid.end() ? nullptr : domain->second));
    if (findings.empty()) continue;
    // An operation that began or ended meanwhile makes it all stale.
    const InstancePtr now = core.ledger.instances().Find(instance->id());
    if (now == nullptr || !IsAtRest(*now) || now->etag() != instance->etag() ||
        now->latest_operation().id() != instance->latest_operation().id()) {
      continue;
    }
    for (Finding& finding : findings) result.findings.push_back(std::move(finding));
  }
  return result;
}

absl::StatusOr<v1::CheckHostResponse> CheckHost(const Core& core) {
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  v1::CheckHostResponse response;
  CVM_ASSIGN_OR_RETURN(DomainFindings domains, CheckDomains(core));
  for (Finding& finding : domains.findings) *response.add_findings() = std::move(finding);
  CVM_ASSIGN_OR_RETURN(std::vector<Finding> files, CheckFiles(core, domains.paths_in_use));
  for (Finding& finding : files) *response.add_findings() = std::move(finding);
  *response.mutable_check_time() = ToTimestamp(core.clock.Now());
  return response;
}

bool IsRepairedByDefault(Finding::Kind kind) {
  switch (kind) {
    case Finding::ORPHANED_DISK:
    case Finding::ORPHANED_INSTANCE_FOLDER:
    case Finding::ORPHANED_ISO:
    case Finding::PARTIAL_IMAGE:
    case Finding::ORPHANED_TAP:
    case Finding::DOMAIN_MISSING:
    case Finding::DOMAIN_TRANSIENT:
      return true;
    default:
      return false;
  }
}

bool IsRepairable(Finding::Kind kind) {
  return IsRepairedByDefault(kind) || kind == Finding::ORPHANED_IMAGE ||
         kind == Finding::LOST_DISK || kind == Finding::DEFINITION_DRIFT;
}

}  // namespace cvm::agent::core
