// SPDX-License-Identifier: Apache-2.0
//
// After a boot of the host: starts the guests that were meant to be on, some at a time. Which boot
// was seen and which guests are still to be started is written down, so an agent that is killed in
// the middle goes on where it was, and a restart of the agent or of libvirt alone starts nothing.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/core/core.h"
#include "cvm/agent/v1/instance_service.pb.h"

namespace cvm::agent::core {

// For one thread.
class BootStart {
 public:
  // Submits the start of an instance.
  using Start = std::function<absl::StatusOr<v1::Operation>(const v1::StartInstanceRequest&)>;

  // `core` outlives it. `boot_id` is the kernel's of this boot.
  BootStart(const Core& core, std::string boot_id, Start start);

  // Notes the boot and, when it is another one than before, which guests are to be started: those
  // that are PRESENT and meant to be on, in the opposite order of StopGuests; none with boot_start
  // "never", and none when no boot was ever noted. Called once, before any call of a client is
  // taken. STORE_UNAVAILABLE.
  absl::Status NoteBoot();

  // Starts what may be started now. Waits while libvirt cannot be asked, while maintenance is on
  // and for an instance that is busy; leaves out what cannot be started any more, and says so in
  // the log. True: something is left, call again within a second or so.
  bool Tick();

 private:
  enum class Next { kTaken, kLater, kDropped };
  Next TryStart(const std::string& instance_id);
  bool Forget(const std::string& instance_id);
  size_t UnderWay();

  const Core& core_;
  const std::string boot_id_;
  const Start start_;
  absl::Duration next_start_;
  // Whose start this object has submitted.
  std::set<std::string> started_;
};

// The ids of the instances that are still to be started, in their order.
std::vector<std::string> BootStartsLeft(const Ledger& ledger);

}  // namespace cvm::agent::core
