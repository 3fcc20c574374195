// SPDX-License-Identifier: Apache-2.0
#include "agent/core/ledger.h"

#include <map>

#include "common/clock.h"
#include "common/errors.h"
#include "common/hmac.h"
#include "common/proto_bytes.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

void SetLatestOperation(v1::Instance& instance, const v1::Operation& operation) {
  const v1::Operation& present = instance.latest_operation();
  if (present.id() == operation.id()) {
    if (present.revision() > operation.revision()) return;
  } else if (!present.id().empty() && operation.revision() > 1) {
    // Not a new one, so one that was overridden. Not told by the times: the wall clock may jump.
    return;
  }
  *instance.mutable_latest_operation() = operation;
}

}  // namespace

std::string ComputeEtag(const v1::Instance& instance) {
  v1::Instance identity;
  *identity.mutable_spec() = instance.spec();
  identity.set_owner(instance.owner());
  identity.set_lifecycle(instance.lifecycle());
  const std::string digest = HmacSha256("etag", DeterministicBytes(identity));
  std::string etag;
  for (size_t i = 0; i < 8; ++i) etag += fmt::format("{:02x}", static_cast<uint8_t>(digest[i]));
  return etag;
}

absl::Status Ledger::Load(absl::Time now) {
  MutexLock lock(commit_mutex_);
  CVM_ASSIGN_OR_RETURN(std::vector<v1::Instance> instances, store_.LoadInstances());
  CVM_ASSIGN_OR_RETURN(const std::vector<v1::Image> images, store_.LoadImages());
  for (v1::Instance& instance : instances) {
    v1::ObservedPower& power = *instance.mutable_observed_power();
    if (power.state() != v1::ObservedPower::UNKNOWN) {
      power.set_last_known(power.state());
      power.set_state(v1::ObservedPower::UNKNOWN);
    }
    power.set_reason("agent-started");
    *power.mutable_observed_at() = ToTimestamp(now);
    instances_.Put(std::move(instance));
  }
  for (const v1::Image& image : images) images_.Put(image);
  return absl::OkStatus();
}

absl::Status Ledger::Commit(const LedgerChange& change) {
  MutexLock lock(commit_mutex_);
  return CommitLocked(change, false);
}

absl::Status Ledger::CommitObservation(const LedgerChange& change) {
  MutexLock lock(commit_mutex_);
  return CommitLocked(change, true);
}

absl::Status Ledger::CommitLocked(const LedgerChange& change, bool show_anyway) {
  std::map<std::string, v1::Instance> changed;
  for (const v1::Instance& instance : change.new_instances) {
    const InstancePtr same_uuid = instances_.FindByUuid(instance.uuid());
    if (instances_.Find(instance.id()) != nullptr || same_uuid != nullptr) {
      const std::string& id = same_uuid == nullptr ? instance.id() : same_uuid->id();
      return Error(ErrorReason::ERROR_REASON_INSTANCE_EXISTS,
                   fmt::format("there is an instance {} already", id), {{"instance_id", id}});
    }
    changed[instance.id()] = instance;
  }
  const auto edit = [&](const std::string& id) -> v1::Instance* {
    if (const auto it = changed.find(id); it != changed.end()) return &it->second;
    const InstancePtr present = instances_.Find(id);
    if (present == nullptr) return nullptr;
    return &(changed[id] = *present);
  };
  for (const auto& [id, update] : change.instance_updates) {
    if (v1::Instance* instance = edit(id)) update(*instance);
  }
  for (const store::OperationRecord& record : change.put_operations) {
    if (v1::Instance* instance = edit(record.operation().target_id())) {
      SetLatestOperation(*instance, record.operation());
    }
  }
  for (const std::string& id : change.erase_instances) changed.erase(id);

  StoreChange rows;
  for (auto& [id, instance] : changed) {
    instance.set_etag(ComputeEtag(instance));
    rows.put_instances.push_back(instance);
  }
  rows.delete_instances = change.erase_instances;
  rows.put_secrets = change.put_secrets;
  rows.put_images = change.put_images;
  rows.delete_images = change.erase_images;
  rows.put_operations = change.put_operations;
  rows.put_operation_secrets = change.put_operation_secrets;
  rows.put_request = change.put_request;
  rows.may_use_reserve = change.may_use_reserve;
  const absl::Status written = store_.Apply(rows);
  if (!written.ok() && !show_anyway) return written;

  for (auto& [id, instance] : changed) instances_.Put(std::move(instance));
  for (const std::string& id : change.erase_instances) instances_.Erase(id);
  for (const v1::Image& image : change.put_images) images_.Put(image);
  for (const std::string& id : change.erase_images) images_.Erase(id);
  return written;
}

absl::Status Ledger::WhileNothingChanges(const std::function<absl::Status()>& work) {
  MutexLock lock(commit_mutex_);
  return work();
}

void Ledger::ShowProgress(const v1::Operation& operation) {
  MutexLock lock(commit_mutex_);
  const InstancePtr present = instances_.Find(operation.target_id());
  if (present == nullptr) return;
  v1::Instance instance = *present;
  SetLatestOperation(instance, operation);
  instances_.Put(std::move(instance));
}

}  // namespace cvm::agent::core
