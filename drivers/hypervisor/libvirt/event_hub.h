// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "drivers/hypervisor/hypervisor.h"
#include "drivers/hypervisor/libvirt/domain_state.h"
#include "drivers/hypervisor/serial_queue.h"

namespace cvm::hypervisor {

// Between libvirt's callbacks and the handler. Keeps the order: events of a connection that come
// while its list of domains is being read follow the kConnected with that list; nothing of a
// connection follows its kDisconnected. Never blocks. Thread-safe.
class EventHub {
 public:
  void Start(std::function<void(const HypervisorEvent&)> handler) CVM_EXCLUDES(mutex_);
  // When it returns, the handler is not being called and will not be called.
  void Stop() CVM_EXCLUDES(mutex_);

  // Generations count up from 1. From Begin() on, events of `generation` are kept.
  void Begin(uint64_t generation) CVM_EXCLUDES(mutex_);
  void Connected(uint64_t generation, const std::vector<DomainStatus>& domains)
      CVM_EXCLUDES(mutex_);
  // Delivered once until Connected().
  void Disconnected(const std::string& message, absl::Duration unanswered) CVM_EXCLUDES(mutex_);

  void Lifecycle(uint64_t generation, const std::string& uuid, const std::string& name, int type,
                 int detail) CVM_EXCLUDES(mutex_);
  void Rebooted(uint64_t generation, const std::string& uuid, const std::string& name)
      CVM_EXCLUDES(mutex_);
  void MemoryChanged(uint64_t generation, const std::string& uuid, const std::string& name)
      CVM_EXCLUDES(mutex_);

  // As EventTranslator's; for a look at a domain after a change whose event libvirt may not send.
  uint64_t EventCount(const std::string& uuid) const CVM_EXCLUDES(mutex_);
  void Observed(const std::string& uuid, const std::optional<DomainStatus>& status,
                uint64_t event_count) CVM_EXCLUDES(mutex_);

 private:
  struct Raw {
    enum class Kind { kLifecycle, kRebooted, kMemoryChanged };
    Kind kind = Kind::kLifecycle;
    std::string uuid;
    std::string name;
    int type = 0;
    int detail = 0;
  };
  void Take(uint64_t generation, Raw raw) CVM_EXCLUDES(mutex_);
  void Translate(const Raw& raw) CVM_REQUIRES(mutex_);
  void Deliver(HypervisorEvent event) CVM_REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::function<void(const HypervisorEvent&)> handler_ CVM_GUARDED_BY(mutex_);
  EventTranslator translator_ CVM_GUARDED_BY(mutex_);
  uint64_t generation_ CVM_GUARDED_BY(mutex_) = 0;
  bool connected_ CVM_GUARDED_BY(mutex_) = false;
  bool told_disconnected_ CVM_GUARDED_BY(mutex_) = false;
  std::vector<Raw> kept_ CVM_GUARDED_BY(mutex_);
  SerialQueue queue_;
};

}  // namespace cvm::hypervisor
