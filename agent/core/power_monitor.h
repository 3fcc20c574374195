// SPDX-License-Identifier: Apache-2.0
//
// Turns what the hypervisor reports into the instances' observed power, and wakes the operations
// that wait for it.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "agent/core/ledger.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::agent::core {

// Thread-safe.
class PowerMonitor {
 public:
  PowerMonitor(Ledger& ledger, const Clock& clock);
  // Stop().
  ~PowerMonitor();
  PowerMonitor(const PowerMonitor&) = delete;
  PowerMonitor& operator=(const PowerMonitor&) = delete;

  // `wake` is called with the id of an instance whose power was seen to change, and with an empty
  // text when the hypervisor came back. Called once, before the first event.
  void Start(std::function<void(const std::string& instance_id)> wake);
  void Stop();

  // For Hypervisor::Start: takes the event and returns at once.
  void OnEvent(const hypervisor::HypervisorEvent& event);

  // Asks for the domain's state, for a workflow that waited long for an event. An event that comes
  // in meanwhile is newer, and wins. Errors: the hypervisor's.
  absl::Status Refresh(hypervisor::Hypervisor& hypervisor, const std::string& uuid);

  struct Connection {
    bool connected = false;
    // When it was made; of a lost one, when the hypervisor last answered.
    absl::Time since;
    std::string message;
  };
  Connection connection() const;

  // Until the host's domains have been compared with the records nothing new may be made: a record
  // that is still to be rebuilt may own the same names and addresses. Ready unless said otherwise.
  void SetReady(bool ready) { ready_ = ready; }
  bool ready() const { return ready_; }

  // How often the guest was seen to reboot since the agent started.
  uint64_t RebootCount(const std::string& uuid) const;
  // Tells counts of this run of the agent from those of another.
  const std::string& counter_id() const { return counter_id_; }

  // Waits until every event given so far has been worked off; for tests.
  void WaitIdle();

 private:
  void Run();
  // Grows with each event that may be newer than what was asked for meanwhile.
  uint64_t EventsOf(const std::string& uuid) const CVM_REQUIRES(mutex_);
  void Observe(const hypervisor::DomainStatus& domain);
  void HandleGone(const hypervisor::DomainStatus& domain);
  void Handle(const hypervisor::HypervisorEvent& event);
  void HandleConnected(const hypervisor::HypervisorEvent& event);
  void HandleDisconnected(const hypervisor::HypervisorEvent& event);

  Ledger& ledger_;
  const Clock& clock_;
  const std::string counter_id_;
  std::function<void(const std::string&)> wake_;

  std::atomic<bool> ready_ = true;

  mutable Mutex mutex_;
  CondVar changed_;
  std::deque<hypervisor::HypervisorEvent> events_ CVM_GUARDED_BY(mutex_);
  bool busy_ CVM_GUARDED_BY(mutex_) = false;
  bool stopping_ CVM_GUARDED_BY(mutex_) = false;
  Connection connection_ CVM_GUARDED_BY(mutex_);
  // By UUID, since the agent started.
  std::map<std::string, uint64_t> reboots_ CVM_GUARDED_BY(mutex_);
  std::map<std::string, uint64_t> state_events_ CVM_GUARDED_BY(mutex_);
  // Of all domains that are gone.
  uint64_t gone_events_ CVM_GUARDED_BY(mutex_) = 0;
  std::jthread thread_;
};

}  // namespace cvm::agent::core
