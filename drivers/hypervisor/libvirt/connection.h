// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/status/statusor.h"
#include "drivers/hypervisor/libvirt/handles.h"
#include "drivers/hypervisor/libvirt/options.h"

namespace cvm::hypervisor {

// Opens a connection with keepalive. Blocks as long as the daemon does.
absl::StatusOr<ConnectHandle> OpenConnection(const LibvirtOptions& options);

// What the threads of one hypervisor object know of its connection. They share it, so that one that
// hangs in libvirt may outlive the object.
struct ConnectionState {
  explicit ConnectionState(LibvirtOptions opts) : options(std::move(opts)) {}
  const LibvirtOptions options;
  // Counts the connections; 0 while there is none.
  std::atomic<uint64_t> generation{0};

  // The daemon has just answered, or sent an event.
  void Answered();
  // Infinite before the first answer.
  absl::Duration SinceLastAnswer() const;

 private:
  std::atomic<int64_t> last_answer_{0};  // ns of the steady clock
};

}  // namespace cvm::hypervisor
