// SPDX-License-Identifier: Apache-2.0
//
// The engine's own: an operation that has not ended. Included by operation_engine.cc and
// operation_runner.cc only.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/operation_engine.h"

namespace cvm::agent::core {

struct OperationEngine::Active {
  Active(store::OperationRecord initial, Workflow steps, Lane where)
      : id(initial.operation().id()),
        target_id(initial.operation().target_id()),
        action(initial.operation().action()),
        workflow(std::move(steps)),
        lane(where),
        record(std::move(initial)) {}

  const std::string id;
  const std::string target_id;
  const v1::Operation::Action action;
  const Workflow workflow;
  const Lane lane;

  // Held while the record is written down, so that a cancel and a step's end do not lose each
  // other.
  Mutex mutex;
  store::OperationRecord record CVM_GUARDED_BY(mutex);
  std::vector<std::weak_ptr<Observation>> observers CVM_GUARDED_BY(mutex);

  std::atomic<bool> cancelled = false;
  std::atomic<bool> ended = false;
  // A crash hook stopped it: nothing touches it any more.
  std::atomic<bool> dead = false;

  // The worker's own.
  int retries = 0;
  std::optional<absl::Duration> unavailable_since;

  // Guarded by the engine's mutex.
  bool queued = false;
  bool executing = false;
  bool again = false;
  std::optional<absl::Duration> wake_at;

  store::OperationRecord Record() {
    MutexLock lock(mutex);
    return record;
  }
};

}  // namespace cvm::agent::core
