// SPDX-License-Identifier: Apache-2.0
//
// What happened on the host, in memory: the last events, and the feed of new ones. Lost with the
// agent; the log of the daemon has each as a line.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/core/notifier.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "cvm/agent/v1/host_service.pb.h"

namespace cvm::agent::core {

// Thread-safe.
class EventLog {
 public:
  // The clock outlives the log.
  explicit EventLog(const Clock& clock) : clock_(clock) {}

  // Sets the time.
  void Add(v1::HostEvent event);

  struct Entry {
    uint64_t sequence = 0;
    v1::HostEvent event;
  };
  // The events after `sequence`, or nothing when they are no longer all kept.
  std::optional<std::vector<Entry>> After(uint64_t sequence) const;
  // All that are kept.
  std::vector<Entry> Kept() const;

  std::unique_ptr<Notifier::Subscription> Subscribe(std::function<void()> notify) {
    return notifier_.Subscribe(std::move(notify));
  }

 private:
  static constexpr size_t kKept = 1024;

  const Clock& clock_;
  mutable Mutex mutex_;
  uint64_t sequence_ CVM_GUARDED_BY(mutex_) = 0;
  // A ring: the event with sequence s is at s % kKept.
  std::vector<Entry> ring_ CVM_GUARDED_BY(mutex_);
  Notifier notifier_;
};

}  // namespace cvm::agent::core
