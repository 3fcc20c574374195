// SPDX-License-Identifier: Apache-2.0
#include "agent/core/event_log.h"

#include <algorithm>

#include "common/log.h"

namespace cvm::agent::core {

void EventLog::Add(v1::HostEvent event) {
  CVM_LOG_INFO("host event {}: {}", v1::HostEvent::Kind_Name(event.kind()), event.message());
  *event.mutable_time() = ToTimestamp(clock_.Now());
  {
    MutexLock lock(mutex_);
    ++sequence_;
    if (ring_.size() < kKept) ring_.resize(sequence_ + 1);
    ring_[sequence_ % kKept] = {sequence_, std::move(event)};
  }
  notifier_.Notify();
}

std::optional<std::vector<EventLog::Entry>> EventLog::After(uint64_t sequence) const {
  MutexLock lock(mutex_);
  if (sequence > sequence_ || sequence_ - sequence >= kKept) return std::nullopt;
  std::vector<Entry> entries;
  for (uint64_t s = sequence + 1; s <= sequence_; ++s) entries.push_back(ring_[s % kKept]);
  return entries;
}

std::vector<EventLog::Entry> EventLog::Kept() const {
  MutexLock lock(mutex_);
  std::vector<Entry> entries;
  const uint64_t first = sequence_ < kKept ? 1 : sequence_ - kKept + 1;
  for (uint64_t s = first; s <= sequence_; ++s) entries.push_back(ring_[s % kKept]);
  return entries;
}

}  // namespace cvm::agent::core
