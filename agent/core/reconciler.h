// SPDX-License-Identifier: Apache-2.0
//
// Compares libvirt's truth with the records, at every connection and from time to time, and acts by
// the written policy (docs/decisions/0005-reconciliation.md): a lost record is rebuilt from the
// domain's metadata, a lost definition is written again, everything else is told. It never starts a
// guest, never removes a domain or a file, and never acts on what is unknown or under way.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <thread>

#include "agent/core/core.h"
#include "agent/core/host_check.h"
#include "common/mutex.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::agent::core {

// Thread-safe.
class Reconciler {
 public:
  // `core` outlives it.
  explicit Reconciler(const Core& core) : core_(core) {}
  // Stop().
  ~Reconciler();
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  // Compares at each connection, soon after a domain came or went, and every `interval` (zero: not
  // by time), on a thread of its own.
  void Start(absl::Duration interval);
  // Waits for a comparison under way: after the hypervisor has stopped, so that it cannot hang.
  void Stop();

  // For the handler of Hypervisor::Start, after the power monitor: takes the event and returns at
  // once.
  void OnEvent(const hypervisor::HypervisorEvent& event);

  // One comparison, on the calling thread. The hypervisor's and the store's errors; nothing is
  // acted on that was not found to be so just before.
  absl::Status Pass();

 private:
  void Run(absl::Duration interval);
  // False when it is to stop.
  bool WaitForTurn(std::chrono::steady_clock::time_point until);
  void Tell(const std::vector<v1::Finding>& findings) CVM_REQUIRES(pass_mutex_);
  void DefineAgain(const std::vector<v1::Finding>& findings);

  const Core& core_;

  // Held over a comparison.
  Mutex pass_mutex_;
  // What is told already, by kind and object.
  std::map<std::string, v1::Finding> told_ CVM_GUARDED_BY(pass_mutex_);

  Mutex mutex_;
  CondVar changed_;
  bool poked_ CVM_GUARDED_BY(mutex_) = false;
  bool at_once_ CVM_GUARDED_BY(mutex_) = false;
  bool stopping_ CVM_GUARDED_BY(mutex_) = false;
  // By UUID: what was last told of its power.
  std::map<std::string, std::string> power_ CVM_GUARDED_BY(mutex_);
  std::jthread thread_;
};

}  // namespace cvm::agent::core
