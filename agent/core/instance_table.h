// SPDX-License-Identifier: Apache-2.0
//
// Every instance of this host, in memory, as answers show it; and the feed of their changes. The
// table never waits for the disk or for libvirt. Secrets are not in it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/core/notifier.h"
#include "common/mutex.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::agent::core {

using InstancePtr = std::shared_ptr<const v1::Instance>;

// An instance and its serialized form. A list of many is put together from the bytes: copying and
// serializing the messages again for each answer costs more than everything else about it.
struct EncodedInstance {
  InstancePtr instance;
  std::shared_ptr<const std::string> bytes;
};

// One change, as the watchers get it. `instance` is empty for a deletion.
struct InstanceChange {
  uint64_t sequence = 0;
  std::string id;
  InstancePtr instance;
};

// Thread-safe.
class InstanceTable {
 public:
  InstanceTable() = default;

  // Sets or replaces; `state` is derived here.
  void Put(v1::Instance instance);
  void Erase(const std::string& id);

  InstancePtr Find(const std::string& id) const;
  InstancePtr FindByUuid(const std::string& uuid) const;
  // In the order of their ids, those after `after_id`, at most `limit`.
  std::vector<EncodedInstance> List(const std::string& after_id, size_t limit) const;
  std::vector<InstancePtr> All() const;

  // The instances' present state together with the sequence that it stands for.
  struct Snapshot {
    std::vector<InstancePtr> instances;
    uint64_t sequence = 0;
  };
  Snapshot TakeSnapshot() const;
  // The changes after `sequence`, or nothing when they are no longer all kept.
  std::optional<std::vector<InstanceChange>> ChangesAfter(uint64_t sequence) const;

  // `notify` is called after each change; see Notifier.
  using Subscription = Notifier::Subscription;
  std::unique_ptr<Subscription> Subscribe(std::function<void()> notify) {
    return notifier_.Subscribe(std::move(notify));
  }

 private:
  static constexpr size_t kKeptChanges = 1024;

  void Record(const std::string& id, InstancePtr instance) CVM_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, EncodedInstance> by_id_ CVM_GUARDED_BY(mutex_);
  std::unordered_map<std::string, std::string> id_by_uuid_ CVM_GUARDED_BY(mutex_);
  uint64_t sequence_ CVM_GUARDED_BY(mutex_) = 0;
  // A ring: the change with sequence s is at s % kKeptChanges.
  std::vector<InstanceChange> changes_ CVM_GUARDED_BY(mutex_);
  Notifier notifier_;
};

}  // namespace cvm::agent::core
