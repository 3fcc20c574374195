// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/event_hub.h"

#include <utility>

namespace cvm::hypervisor {

void EventHub::Start(std::function<void(const HypervisorEvent&)> handler) {
  MutexLock lock(mutex_);
  handler_ = std::move(handler);
}

void EventHub::Stop() {
  {
    MutexLock lock(mutex_);
    generation_ = 0;
    handler_ = nullptr;
  }
  queue_.Stop();
}

void EventHub::Begin(uint64_t generation) {
  MutexLock lock(mutex_);
  generation_ = generation;
  connected_ = false;
  kept_.clear();
}

void EventHub::Connected(uint64_t generation, const std::vector<DomainStatus>& domains) {
  MutexLock lock(mutex_);
  if (generation != generation_) return;
  connected_ = true;
  told_disconnected_ = false;
  translator_.Reset(domains);
  HypervisorEvent event;
  event.kind = HypervisorEvent::Kind::kConnected;
  event.domains = domains;
  Deliver(std::move(event));
  for (const Raw& raw : std::exchange(kept_, {})) Translate(raw);
}

void EventHub::Disconnected(const std::string& message, absl::Duration unanswered) {
  MutexLock lock(mutex_);
  generation_ = 0;
  connected_ = false;
  kept_.clear();
  if (std::exchange(told_disconnected_, true)) return;
  HypervisorEvent event;
  event.kind = HypervisorEvent::Kind::kDisconnected;
  event.message = message;
  event.unanswered = unanswered;
  Deliver(std::move(event));
}

void EventHub::Lifecycle(uint64_t generation, const std::string& uuid, const std::string& name,
                         int type, int detail) {
  Take(generation, {Raw::Kind::kLifecycle, uuid, name, type, detail});
}

void EventHub::Rebooted(uint64_t generation, const std::string& uuid, const std::string& name) {
  Take(generation, {Raw::Kind::kRebooted, uuid, name, 0, 0});
}

void EventHub::MemoryChanged(uint64_t generation, const std::string& uuid,
                             const std::string& name) {
  Take(generation, {Raw::Kind::kMemoryChanged, uuid, name, 0, 0});
}

uint64_t EventHub::EventCount(const std::string& uuid) const {
  MutexLock lock(mutex_);
  return translator_.EventCount(uuid);
}

void EventHub::Observed(const std::string& uuid, const std::optional<DomainStatus>& status,
                        uint64_t event_count) {
  MutexLock lock(mutex_);
  if (!connected_) return;
  for (HypervisorEvent& event : translator_.Observed(uuid, status, event_count)) {
    Deliver(std::move(event));
  }
}

void EventHub::Take(uint64_t generation, Raw raw) {
  MutexLock lock(mutex_);
  if (generation != generation_) return;
  if (connected_) {
    Translate(raw);
  } else {
    kept_.push_back(std::move(raw));
  }
}

void EventHub::Translate(const Raw& raw) {
  if (raw.kind == Raw::Kind::kRebooted) {
    Deliver(translator_.Rebooted(raw.uuid, raw.name));
    return;
  }
  if (raw.kind == Raw::Kind::kMemoryChanged) {
    Deliver(translator_.MemoryChanged(raw.uuid, raw.name));
    return;
  }
  for (HypervisorEvent& event : translator_.Lifecycle(raw.uuid, raw.name, raw.type, raw.detail)) {
    Deliver(std::move(event));
  }
}

void EventHub::Deliver(HypervisorEvent event) {
  if (!handler_) return;
  queue_.Post([handler = handler_, event = std::move(event)] { handler(event); });
}

}  // namespace cvm::hypervisor
