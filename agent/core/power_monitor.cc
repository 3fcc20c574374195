// SPDX-License-Identifier: Apache-2.0
#include "agent/core/power_monitor.h"

#include <unordered_map>

#include "agent/core/derive_state.h"
#include "common/ids.h"
#include "common/log.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainStatus;
using hypervisor::HypervisorEvent;
using hypervisor::PowerState;
using v1::ObservedPower;

ObservedPower::State ToProtoState(PowerState state) {
  switch (state) {
    case PowerState::kRunning:
      return ObservedPower::RUNNING;
    case PowerState::kPaused:
      return ObservedPower::PAUSED;
    case PowerState::kStopped:
      return ObservedPower::STOPPED;
    case PowerState::kCrashed:
      return ObservedPower::CRASHED;
    case PowerState::kSuspended:
      return ObservedPower::SUSPENDED;
  }
  return ObservedPower::STATE_UNSPECIFIED;
}

// The change of one instance's observation, or nothing when it says what is known already.
void Add(LedgerChange& change, const v1::Instance& instance, ObservedPower::State state,
         const std::string& reason, absl::Time now) {
  const ObservedPower& present = instance.observed_power();
  if (present.state() == state && present.reason() == reason) return;
  change.UpdateInstance(instance.id(), [state, reason, now](v1::Instance& changed) {
    ObservedPower& power = *changed.mutable_observed_power();
    if (state == ObservedPower::UNKNOWN) {
      if (power.state() != ObservedPower::UNKNOWN) power.set_last_known(power.state());
    } else {
      power.clear_last_known();
    }
    power.set_state(state);
    power.set_reason(reason);
    *power.mutable_observed_at() = ToTimestamp(now);
  });
}

void WriteObservation(Ledger& ledger, const LedgerChange& change) {
  if (change.instance_updates.empty()) return;
  if (const absl::Status status = ledger.CommitObservation(change); !status.ok()) {
    CVM_LOG_ERROR("cannot write down what was seen of the guests: {}",
                  std::string(status.message()));
  }
}

}  // namespace

PowerMonitor::PowerMonitor(Ledger& ledger, const Clock& clock)
    : ledger_(ledger), clock_(clock), counter_id_(MakeUuid(Random::Secure())) {
  connection_.since = clock.Now();
  connection_.message = "not connected yet";
}

PowerMonitor::~PowerMonitor() { Stop(); }

void PowerMonitor::Start(std::function<void(const std::string&)> wake) {
  wake_ = std::move(wake);
  thread_ = std::jthread([this] { Run(); });
}

void PowerMonitor::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void PowerMonitor::OnEvent(const HypervisorEvent& event) {
  MutexLock lock(mutex_);
  // At once, so that nobody starts work on a connection that is known to be lost.
  if (event.kind == HypervisorEvent::Kind::kDisconnected) {
    if (connection_.connected) connection_.since = clock_.Now() - event.unanswered;
    connection_.connected = false;
    connection_.message = event.message;
  }
  if (event.kind == HypervisorEvent::Kind::kDomainRebooted) {
    for (const DomainStatus& domain : event.domains) ++reboots_[domain.uuid];
  }
  if (event.kind == HypervisorEvent::Kind::kDomainState) {
    for (const DomainStatus& domain : event.domains) ++state_events_[domain.uuid];
  }
  if (event.kind == HypervisorEvent::Kind::kDomainGone) {
    for (const DomainStatus& domain : event.domains) {
      // Before its own count is forgotten, so that EventsOf never falls back to an earlier value.
      gone_events_ += 1 + state_events_[domain.uuid];
      state_events_.erase(domain.uuid);
      reboots_.erase(domain.uuid);
    }
  }
  events_.push_back(event);
  changed_.NotifyAll();
}

absl::Status PowerMonitor::Refresh(hypervisor::Hypervisor& hypervisor, const std::string& uuid) {
  uint64_t before = 0;
  {
    MutexLock lock(mutex_);
    before = EventsOf(uuid);
  }
  const absl::StatusOr<DomainStatus> domain = hypervisor.GetDomain(uuid);
  if (!domain.ok()) return domain.status();
  MutexLock lock(mutex_);
  if (EventsOf(uuid) != before) return absl::OkStatus();
  events_.push_back(
      {.kind = HypervisorEvent::Kind::kDomainState, .domains = {*domain}, .message = ""});
  changed_.NotifyAll();
  return absl::OkStatus();
}

uint64_t PowerMonitor::EventsOf(const std::string& uuid) const {
  const auto it = state_events_.find(uuid);
  return it == state_events_.end() ? gone_events_ : gone_events_ + it->second;
}

PowerMonitor::Connection PowerMonitor::connection() const {
  MutexLock lock(mutex_);
  return connection_;
}

uint64_t PowerMonitor::RebootCount(const std::string& uuid) const {
  MutexLock lock(mutex_);
  const auto it = reboots_.find(uuid);
  return it == reboots_.end() ? 0 : it->second;
}

void PowerMonitor::WaitIdle() {
  MutexLock lock(mutex_);
  while (!events_.empty() || busy_) changed_.Wait(mutex_);
}

void PowerMonitor::Run() {
  while (true) {
    HypervisorEvent event;
    {
      MutexLock lock(mutex_);
      while (events_.empty() && !stopping_) changed_.Wait(mutex_);
      if (stopping_) return;
      event = std::move(events_.front());
      events_.pop_front();
      busy_ = true;
    }
    Handle(event);
    MutexLock lock(mutex_);
    busy_ = false;
    changed_.NotifyAll();
  }
}

void PowerMonitor::Handle(const HypervisorEvent& event) {
  switch (event.kind) {
    case HypervisorEvent::Kind::kConnected:
      HandleConnected(event);
      return;
    case HypervisorEvent::Kind::kDisconnected:
      HandleDisconnected(event);
      return;
    case HypervisorEvent::Kind::kDomainState:
      for (const DomainStatus& domain : event.domains) Observe(domain);
      return;
    case HypervisorEvent::Kind::kDomainGone:
      for (const DomainStatus& domain : event.domains) HandleGone(domain);
      return;
    case HypervisorEvent::Kind::kDomainRebooted:
      for (const DomainStatus& domain : event.domains) {
        const InstancePtr instance = ledger_.instances().FindByUuid(domain.uuid);
        if (instance == nullptr) continue;
        CVM_LOG_INFO("instance {} rebooted", instance->id());
        wake_(instance->id());
      }
      return;
    case HypervisorEvent::Kind::kDomainMemoryChanged:
      for (const DomainStatus& domain : event.domains) {
        const InstancePtr instance = ledger_.instances().FindByUuid(domain.uuid);
        if (instance != nullptr) wake_(instance->id());
      }
      return;
  }
}

void PowerMonitor::HandleGone(const DomainStatus& domain) {
  const InstancePtr instance = ledger_.instances().FindByUuid(domain.uuid);
  if (instance == nullptr) return;
  LedgerChange change;
  Add(change, *instance, ObservedPower::ABSENT, "undefined", clock_.Now());
  WriteObservation(ledger_, change);
  wake_(instance->id());
}

void PowerMonitor::HandleConnected(const HypervisorEvent& event) {
  CVM_LOG_INFO("connected to libvirt: {} domains", event.domains.size());
  const absl::Time now = clock_.Now();
  std::unordered_map<std::string, const DomainStatus*> domains;
  for (const DomainStatus& domain : event.domains) domains[domain.uuid] = &domain;
  LedgerChange change;
  for (const InstancePtr& instance : ledger_.instances().All()) {
    const auto it = domains.find(instance->uuid());
    if (it == domains.end()) {
      Add(change, *instance, ObservedPower::ABSENT, "no-domain", now);
    } else {
      Add(change, *instance, ToProtoState(it->second->state), it->second->reason, now);
    }
  }
  WriteObservation(ledger_, change);
  {
    MutexLock lock(mutex_);
    // A loss that came in meanwhile is waiting in the queue, and counts.
    bool lost = false;
    for (const HypervisorEvent& later : events_) {
      if (later.kind == HypervisorEvent::Kind::kDisconnected) lost = true;
      if (later.kind == HypervisorEvent::Kind::kConnected) lost = false;
    }
    if (!lost) {
      connection_.connected = true;
      connection_.since = now;
      connection_.message.clear();
    }
  }
  wake_("");
}

void PowerMonitor::HandleDisconnected(const HypervisorEvent& event) {
  CVM_LOG_WARNING("libvirt cannot be asked: {}", event.message);
  const absl::Time since = connection().since;
  LedgerChange change;
  for (const InstancePtr& instance : ledger_.instances().All()) {
    // The reason stays out of the comparison: "since when" must not move with each failed attempt.
    if (instance->observed_power().state() == ObservedPower::UNKNOWN) continue;
    Add(change, *instance, ObservedPower::UNKNOWN, "no-connection", since);
  }
  WriteObservation(ledger_, change);
}

void PowerMonitor::Observe(const DomainStatus& domain) {
  const InstancePtr instance = ledger_.instances().FindByUuid(domain.uuid);
  if (instance == nullptr) return;
  LedgerChange change;
  Add(change, *instance, ToProtoState(domain.state), domain.reason, clock_.Now());
  if (change.instance_updates.empty()) return;
  CVM_LOG_INFO("instance {} is {} ({})", instance->id(),
               ObservedPower::State_Name(ToProtoState(domain.state)), domain.reason);
  WriteObservation(ledger_, change);
  wake_(instance->id());
}

}  // namespace cvm::agent::core
