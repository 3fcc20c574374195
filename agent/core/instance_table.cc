// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_table.h"

#include <algorithm>

#include "agent/core/derive_state.h"
#include "common/redact.h"

namespace cvm::agent::core {

void InstanceTable::Put(v1::Instance instance) {
  instance.set_state(DeriveState(instance));
  Redact(instance);
  auto bytes = std::make_shared<const std::string>(instance.SerializeAsString());
  auto shared = std::make_shared<const v1::Instance>(std::move(instance));
  {
    MutexLock lock(mutex_);
    by_id_[shared->id()] = {shared, std::move(bytes)};
    id_by_uuid_[shared->uuid()] = shared->id();
    Record(shared->id(), shared);
  }
  notifier_.Notify();
}

void InstanceTable::Erase(const std::string& id) {
  {
    MutexLock lock(mutex_);
    const auto it = by_id_.find(id);
    if (it == by_id_.end()) return;
    id_by_uuid_.erase(it->second.instance->uuid());
    by_id_.erase(it);
    Record(id, nullptr);
  }
  notifier_.Notify();
}

void InstanceTable::Record(const std::string& id, InstancePtr instance) {
  ++sequence_;
  if (changes_.size() < kKeptChanges) changes_.resize(sequence_ + 1);
  changes_[sequence_ % kKeptChanges] = {sequence_, id, std::move(instance)};
}

InstancePtr InstanceTable::Find(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : it->second.instance;
}

InstancePtr InstanceTable::FindByUuid(const std::string& uuid) const {
  MutexLock lock(mutex_);
  const auto it = id_by_uuid_.find(uuid);
  return it == id_by_uuid_.end() ? nullptr : by_id_.at(it->second).instance;
}

std::vector<EncodedInstance> InstanceTable::List(const std::string& after_id, size_t limit) const {
  MutexLock lock(mutex_);
  std::vector<EncodedInstance> list;
  for (auto it = by_id_.upper_bound(after_id); it != by_id_.end() && list.size() < limit; ++it) {
    list.push_back(it->second);
  }
  return list;
}

std::vector<InstancePtr> InstanceTable::All() const { return TakeSnapshot().instances; }

InstanceTable::Snapshot InstanceTable::TakeSnapshot() const {
  MutexLock lock(mutex_);
  Snapshot snapshot{.instances = {}, .sequence = sequence_};
  snapshot.instances.reserve(by_id_.size());
  for (const auto& [id, encoded] : by_id_) snapshot.instances.push_back(encoded.instance);
  return snapshot;
}

std::optional<std::vector<InstanceChange>> InstanceTable::ChangesAfter(uint64_t sequence) const {
  MutexLock lock(mutex_);
  if (sequence > sequence_ || sequence_ - sequence >= kKeptChanges) return std::nullopt;
  std::vector<InstanceChange> changes;
  changes.reserve(sequence_ - sequence);
  for (uint64_t s = sequence + 1; s <= sequence_; ++s) {
    changes.push_back(changes_[s % kKeptChanges]);
  }
  return changes;
}

}  // namespace cvm::agent::core
