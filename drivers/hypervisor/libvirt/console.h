// SPDX-License-Identifier: Apache-2.0
//
// A guest's serial port through a stream of libvirt, on a connection of its own.
#pragma once

#include <libvirt/libvirt.h>

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/mutex.h"
#include "drivers/hypervisor/console_sink.h"
#include "drivers/hypervisor/hypervisor.h"
#include "drivers/hypervisor/libvirt/call_lane.h"
#include "drivers/hypervisor/libvirt/handles.h"
#include "drivers/hypervisor/libvirt/options.h"
#include "drivers/hypervisor/serial_queue.h"

namespace cvm::hypervisor {

// Output that the handler has not taken yet; beyond it output is dropped, since libvirt has no way
// to slow a guest down.
inline constexpr size_t kMaxPendingConsoleBytes = 1 << 20;

// The receiving side: from libvirt's callback by way of the queue to the handler. Thread-safe.
class ConsoleReceiver : public std::enable_shared_from_this<ConsoleReceiver> {
 public:
  // `lane` finds out why a stream ended.
  ConsoleReceiver(std::string uuid, std::shared_ptr<SerialQueue> queue,
                  const std::shared_ptr<CallLane>& lane, ConsoleHandler handler);

  // Reads all that has come; for the event loop's thread.
  void OnStreamEvent(virStreamPtr stream, int events);
  // Ends the session with this reason.
  void Close(const absl::Status& reason);
  // After this the handler is not called.
  void Detach();
  bool ended() const { return ended_; }

 private:
  void OnOutput(std::string output);
  // The stream has ended: by the guest's stop, by another session, or with the connection.
  void OnEnd();

  const std::string uuid_;
  const std::shared_ptr<SerialQueue> queue_;
  const std::weak_ptr<CallLane> lane_;
  ConsoleSink sink_;
  std::atomic<bool> ended_ = false;
  std::atomic<size_t> pending_bytes_ = 0;
};

// Opens the port; blocks as libvirt does. Errors as Hypervisor::OpenConsole.
absl::StatusOr<std::unique_ptr<ConsoleSession>> OpenLibvirtConsole(
    const LibvirtOptions& options, const std::string& uuid, bool take_over,
    std::shared_ptr<ConsoleReceiver> receiver, const std::shared_ptr<CallLane>& lane);

}  // namespace cvm::hypervisor
