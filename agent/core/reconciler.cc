// SPDX-License-Identifier: Apache-2.0
#include "agent/core/reconciler.h"

#include <algorithm>
#include <chrono>

#include "agent/core/derive_state.h"
#include "agent/core/event_log.h"
#include "agent/core/planning.h"
#include "agent/core/power_monitor.h"
#include "agent/core/rebuild.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainStatus;
using hypervisor::HypervisorEvent;
using hypervisor::PowerState;
using v1::Finding;
using v1::HostEvent;

// Domains often come and go in numbers: one comparison for all of them.
constexpr std::chrono::milliseconds kSettle{300};
// After a comparison that failed.
constexpr std::chrono::seconds kTryAgain{5};

const char* WordOf(PowerState state) {
  switch (state) {
    case PowerState::kRunning:
      return "running";
    case PowerState::kPaused:
      return "paused";
    case PowerState::kStopped:
      return "off";
    case PowerState::kCrashed:
      return "crashed";
    case PowerState::kSuspended:
      return "suspended";
  }
  return "unknown";
}

std::string KeyOf(const Finding& finding) {
  return fmt::format("{}/{}/{}", static_cast<int>(finding.kind()), finding.object(),
                     finding.domain_uuid());
}

HostEvent EventOf(HostEvent::Kind kind, const Finding& finding) {
  HostEvent event;
  event.set_kind(kind);
  event.set_finding(finding.kind());
  event.set_instance_id(finding.instance_id());
  event.set_domain_uuid(finding.domain_uuid());
  if (finding.kind() == Finding::FOREIGN_DOMAIN) event.set_domain_name(finding.object());
  event.set_message(kind == HostEvent::CLEARED ? "no longer so: " + finding.message()
                                               : finding.message());
  return event;
}

}  // namespace

Reconciler::~Reconciler() { Stop(); }

void Reconciler::Start(absl::Duration interval) {
  thread_ = std::jthread([this, interval] { Run(interval); });
}

void Reconciler::Stop() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    changed_.NotifyAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Reconciler::OnEvent(const HypervisorEvent& event) {
  HostEvent told;
  bool poke = false;
  switch (event.kind) {
    case HypervisorEvent::Kind::kConnected: {
      told.set_kind(HostEvent::HYPERVISOR_CONNECTED);
      told.set_message(fmt::format("connected to libvirt: {} domains", event.domains.size()));
      core_.events.Add(std::move(told));
      MutexLock lock(mutex_);
      power_.clear();
      for (const DomainStatus& domain : event.domains) {
        power_[domain.uuid] = fmt::format("{} ({})", WordOf(domain.state), domain.reason);
      }
      poke = true;
      break;
    }
    case HypervisorEvent::Kind::kDisconnected:
      told.set_kind(HostEvent::HYPERVISOR_DISCONNECTED);
      told.set_message(event.message);
      core_.events.Add(std::move(told));
      break;
    case HypervisorEvent::Kind::kDomainState:
      for (const DomainStatus& domain : event.domains) {
        const InstancePtr instance = core_.ledger.instances().FindByUuid(domain.uuid);
        if (instance == nullptr || !domain.persistent || domain.has_managed_save) poke = true;
        if (instance == nullptr) continue;
        const std::string now = fmt::format("{} ({})", WordOf(domain.state), domain.reason);
        {
          MutexLock lock(mutex_);
          if (power_[domain.uuid] == now) continue;
          power_[domain.uuid] = now;
        }
        told.set_kind(HostEvent::POWER_CHANGED);
        told.set_instance_id(instance->id());
        told.set_domain_uuid(domain.uuid);
        told.set_domain_name(domain.name);
        told.set_message(fmt::format(
            "{} is {}{}", instance->id(), now,
            IsBusy(*instance)
                ? fmt::format(" during {}",
                              v1::Operation::Action_Name(instance->latest_operation().action()))
                : ", which no operation of the agent did"));
        core_.events.Add(told);
      }
      break;
    case HypervisorEvent::Kind::kDomainGone: {
      poke = true;
      MutexLock lock(mutex_);
      for (const DomainStatus& domain : event.domains) power_.erase(domain.uuid);
      break;
    }
    case HypervisorEvent::Kind::kDomainRebooted:
      break;
  }
  if (!poke) return;
  MutexLock lock(mutex_);
  poked_ = true;
  at_once_ = at_once_ || event.kind == HypervisorEvent::Kind::kConnected;
  changed_.NotifyAll();
}

bool Reconciler::WaitForTurn(std::chrono::steady_clock::time_point until) {
  using Clock = std::chrono::steady_clock;
  MutexLock lock(mutex_);
  while (!stopping_ && !poked_ && Clock::now() < until) {
    changed_.WaitFor(mutex_, until - Clock::now());
  }
  if (poked_ && !at_once_) {
    const auto settled = Clock::now() + kSettle;
    while (!stopping_ && Clock::now() < settled) {
      changed_.WaitFor(mutex_, settled - Clock::now());
    }
  }
  poked_ = false;
  at_once_ = false;
  return !stopping_;
}

void Reconciler::Run(absl::Duration interval) {
  // Without an interval the connections poke.
  const auto pause =
      absl::ToChronoNanoseconds(interval > absl::ZeroDuration() ? interval : absl::Hours(24 * 365));
  auto wait = pause;
  while (WaitForTurn(std::chrono::steady_clock::now() + wait)) {
    const absl::Status passed = Pass();
    wait = pause;
    if (passed.ok()) continue;
    CVM_LOG_WARNING("the domains could not be compared with the records: {}",
                    std::string(passed.message()));
    wait = std::min<std::chrono::nanoseconds>(pause, kTryAgain);
  }
}

absl::Status Reconciler::Pass() {
  MutexLock lock(pass_mutex_);
  CVM_ASSIGN_OR_RETURN(DomainFindings found, CheckDomains(core_));
  if (!found.lost.empty()) {
    for (const LostInstance& lost : found.lost) CVM_RETURN_IF_ERROR(RebuildInstance(core_, lost));
    CVM_ASSIGN_OR_RETURN(found, CheckDomains(core_));
  }
  core_.power.SetReady(true);
  Tell(found.findings);
  DefineAgain(found.findings);
  return absl::OkStatus();
}

void Reconciler::Tell(const std::vector<Finding>& findings) {
  std::map<std::string, Finding> present;
  for (const Finding& finding : findings) present.emplace(KeyOf(finding), finding);
  for (const auto& [key, finding] : present) {
    const auto before = told_.find(key);
    // A definition may drift further.
    if (before != told_.end() && before->second.message() == finding.message()) continue;
    core_.events.Add(EventOf(HostEvent::FOUND, finding));
  }
  for (const auto& [key, finding] : told_) {
    if (!present.contains(key)) core_.events.Add(EventOf(HostEvent::CLEARED, finding));
  }
  told_ = std::move(present);
}

void Reconciler::DefineAgain(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    const bool lost_definition =
        finding.kind() == Finding::DOMAIN_MISSING || finding.kind() == Finding::DOMAIN_TRANSIENT;
    if (!lost_definition || !finding.repairable()) continue;
    // Tried once: what was in the way is for somebody to look at.
    const InstancePtr instance = core_.ledger.instances().Find(finding.instance_id());
    if (instance == nullptr ||
        (instance->latest_operation().action() == v1::Operation::REPAIR_HOST &&
         instance->latest_operation().state() == v1::Operation::FAILED)) {
      continue;
    }
    const absl::Status submitted =
        RedefineDomain(core_, {.scope = "agent"}, finding.instance_id(), "").status();
    if (submitted.ok()) continue;
    CVM_LOG_WARNING("cannot define {} again now: {}", finding.instance_id(),
                    std::string(submitted.message()));
  }
}

}  // namespace cvm::agent::core
