// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "drivers/hypervisor/libvirt/connection.h"
#include "drivers/hypervisor/libvirt/event_hub.h"
#include "drivers/hypervisor/libvirt/host_facts.h"

namespace cvm::hypervisor {

// Keeps the connection that events come from: the one place that connects, registers for events,
// reads the full list, and does it all again after a loss. Runs on a thread of its own.
// Thread-safe.
class ConnectionKeeper {
 public:
  ConnectionKeeper(std::shared_ptr<ConnectionState> connection, std::shared_ptr<EventHub> hub);
  // As Stop(), with the grace of the options.
  ~ConnectionKeeper();

  // Once.
  void Start();
  // Waits up to `grace` for the thread, and leaves it behind if it hangs in libvirt.
  void Stop(absl::Duration grace);

  // As of the latest connection; HYPERVISOR_UNAVAILABLE before the first.
  absl::StatusOr<HostInventory> Host() const;

 private:
  struct State;
  static void Run(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;
  Mutex thread_mutex_;
  std::thread thread_ CVM_GUARDED_BY(thread_mutex_);
};

}  // namespace cvm::hypervisor
