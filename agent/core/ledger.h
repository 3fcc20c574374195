// SPDX-License-Identifier: Apache-2.0
//
// The store and the tables of instances and images as one thing: a change is on the disk before it
// is seen, and changes of one instance by several threads never overwrite each other.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "agent/core/image_table.h"
#include "agent/core/instance_table.h"
#include "agent/store/store.h"
#include "common/mutex.h"

namespace cvm::agent::core {

struct LedgerChange {
  std::vector<v1::Instance> new_instances;
  // Applied to the instance as it is at the commit; one that is gone is left out.
  std::vector<std::pair<std::string, std::function<void(v1::Instance&)>>> instance_updates;
  std::vector<std::string> erase_instances;
  std::vector<std::pair<std::string, InstanceSecrets>> put_secrets;
  std::vector<v1::Image> put_images;
  std::vector<std::string> erase_images;
  // Each is also set as its instance's latest operation, unless a newer one is there.
  std::vector<store::OperationRecord> put_operations;
  // See StoreChange.
  std::optional<std::pair<std::string, InstanceSecrets>> put_operation_secrets;
  std::optional<RequestRow> put_request;
  // See StoreChange.
  bool may_use_reserve = false;

  void UpdateInstance(std::string id, std::function<void(v1::Instance&)> update) {
    instance_updates.emplace_back(std::move(id), std::move(update));
  }
};

// Thread-safe.
class Ledger {
 public:
  // The store outlives the ledger.
  explicit Ledger(Store& store) : store_(store) {}

  // Fills the tables from the store; called once, before anything else. What was observed before
  // is kept as last known: until libvirt is heard, every instance is UNKNOWN, since `now`.
  absl::Status Load(absl::Time now);

  // All of it or nothing. STORE_UNAVAILABLE; INSTANCE_EXISTS when one of `new_instances` is there
  // already, by its id or by its UUID.
  absl::Status Commit(const LedgerChange& change);

  // For what was seen of instances: shown in any case, also when the store cannot take it down.
  absl::Status CommitObservation(const LedgerChange& change);

  // Runs `work`, which must be short, while nothing is written down: what it finds in the tables
  // and in the store stays true until it returns.
  absl::Status WhileNothingChanges(const std::function<absl::Status()>& work);

  // Shows an operation's progress on its instance without writing it down.
  void ShowProgress(const v1::Operation& operation);

  Store& store() { return store_; }
  const InstanceTable& instances() const { return instances_; }
  InstanceTable& instances() { return instances_; }
  const ImageTable& images() const { return images_; }

 private:
  absl::Status CommitLocked(const LedgerChange& change, bool show_anyway)
      CVM_REQUIRES(commit_mutex_);

  Store& store_;
  InstanceTable instances_;
  ImageTable images_;
  // Held over store and tables, so that both see the same order.
  Mutex commit_mutex_;
};

// A new value for Instance.etag, different for each different spec, owner and lifecycle.
std::string ComputeEtag(const v1::Instance& instance);

}  // namespace cvm::agent::core
