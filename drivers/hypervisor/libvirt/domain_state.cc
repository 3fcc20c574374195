// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/domain_state.h"

#include <libvirt/libvirt.h>

#include <iterator>

namespace cvm::hypervisor {
namespace {

// Indexed by libvirt's numbers.
constexpr const char* kRunningReasons[] = {
    "unknown",       "booted",   "migrated",           "restored",
    "from-snapshot", "unpaused", "migration-canceled", "save-canceled",
    "wakeup",        "crashed",  "postcopy",           "postcopy-failed"};
constexpr const char* kPausedReasons[] = {
    "unknown",  "user",        "migration",     "save",           "dump",
    "io-error", "watchdog",    "from-snapshot", "shutting-down",  "snapshot",
    "crashed",  "starting-up", "postcopy",      "postcopy-failed"};
constexpr const char* kStoppedReasons[] = {"unknown", "shutdown",      "destroyed",
                                           "crashed", "migrated",      "saved",
                                           "failed",  "from-snapshot", "daemon"};
constexpr const char* kCrashedReasons[] = {"unknown", "panicked"};

// Of virDomainEvent...DetailType.
constexpr const char* kStartedDetails[] = {"booted", "migrated", "restored", "from-snapshot",
                                           "wakeup"};
constexpr const char* kSuspendedDetails[] = {"user",      "migration", "io-error",
                                             "watchdog",  "restored",  "from-snapshot",
                                             "api-error", "postcopy",  "postcopy-failed"};
constexpr const char* kResumedDetails[] = {"unpaused", "migrated", "from-snapshot", "postcopy",
                                           "postcopy-failed"};
constexpr const char* kStoppedDetails[] = {"shutdown", "destroyed", "crashed",      "migrated",
                                           "saved",    "failed",    "from-snapshot"};

template <size_t N>
std::string Name(const char* const (&names)[N], int number) {
  return number >= 0 && static_cast<size_t>(number) < N ? names[number] : "unknown";
}

}  // namespace

void SetState(int state, int reason, DomainStatus* status) {
  switch (state) {
    case VIR_DOMAIN_PAUSED:
      status->state = PowerState::kPaused;
      status->reason = Name(kPausedReasons, reason);
      return;
    case VIR_DOMAIN_SHUTOFF:
      status->state = PowerState::kStopped;
      status->reason = Name(kStoppedReasons, reason);
      return;
    case VIR_DOMAIN_CRASHED:
      status->state = PowerState::kCrashed;
      status->reason = Name(kCrashedReasons, reason);
      return;
    case VIR_DOMAIN_PMSUSPENDED:
      status->state = PowerState::kSuspended;
      status->reason = "unknown";
      return;
    case VIR_DOMAIN_SHUTDOWN:
      // The guest has shut down; QEMU has not ended yet.
      status->state = PowerState::kRunning;
      status->reason = "shutting-down";
      return;
    case VIR_DOMAIN_RUNNING:
      status->state = PowerState::kRunning;
      status->reason = Name(kRunningReasons, reason);
      return;
    default:  // BLOCKED and NOSTATE, which QEMU's driver does not use: active, no more is known.
      status->state = PowerState::kRunning;
      status->reason = "unknown";
      return;
  }
}

void EventTranslator::Reset(const std::vector<DomainStatus>& domains) {
  known_.clear();
  event_counts_.clear();
  for (const DomainStatus& domain : domains) known_[domain.uuid] = domain;
}

std::vector<HypervisorEvent> EventTranslator::Lifecycle(const std::string& uuid,
                                                        const std::string& name, int type,
                                                        int detail) {
  ++event_counts_[uuid];
  const bool is_new = !known_.contains(uuid);
  DomainStatus& domain = known_[uuid];
  domain.uuid = uuid;
  domain.name = name;
  // A domain that was never defined is transient.
  if (is_new) {
    domain.persistent = false;
    domain.reason = "unknown";
  }
  bool gone = false;
  switch (type) {
    case VIR_DOMAIN_EVENT_DEFINED:
      domain.persistent = true;
      break;
    case VIR_DOMAIN_EVENT_UNDEFINED:
      domain.persistent = false;
      domain.has_managed_save = false;
      gone = domain.state == PowerState::kStopped;
      break;
    case VIR_DOMAIN_EVENT_STARTED:
      domain.state = PowerState::kRunning;
      domain.reason = Name(kStartedDetails, detail);
      domain.has_managed_save = false;
      break;
    case VIR_DOMAIN_EVENT_SUSPENDED:
      domain.state = PowerState::kPaused;
      domain.reason = Name(kSuspendedDetails, detail);
      break;
    case VIR_DOMAIN_EVENT_RESUMED:
      domain.state = PowerState::kRunning;
      domain.reason = Name(kResumedDetails, detail);
      break;
    case VIR_DOMAIN_EVENT_STOPPED:
      // The event says the same of a QEMU that died and of one that did not start; the state that
      // GetDomain reads tells them apart.
      domain.reason =
          detail == VIR_DOMAIN_EVENT_STOPPED_FAILED && domain.state != PowerState::kStopped
              ? "crashed"
              : Name(kStoppedDetails, detail);
      domain.state = PowerState::kStopped;
      domain.has_managed_save = detail == VIR_DOMAIN_EVENT_STOPPED_SAVED;
      gone = !domain.persistent;
      break;
    case VIR_DOMAIN_EVENT_PMSUSPENDED:
      domain.state = PowerState::kSuspended;
      domain.reason = "unknown";
      break;
    case VIR_DOMAIN_EVENT_CRASHED:
      if (detail != VIR_DOMAIN_EVENT_CRASHED_PANICKED) {
        if (is_new) known_.erase(uuid);
        return {};
      }
      domain.state = PowerState::kCrashed;
      domain.reason = "panicked";
      break;
    default:  // SHUTDOWN among others: STOPPED follows.
      if (is_new) known_.erase(uuid);
      return {};
  }
  HypervisorEvent event;
  event.kind = gone ? HypervisorEvent::Kind::kDomainGone : HypervisorEvent::Kind::kDomainState;
  event.domains.push_back(domain);
  if (gone) known_.erase(uuid);
  return {event};
}

HypervisorEvent EventTranslator::Rebooted(const std::string& uuid, const std::string& name) const {
  return Happened(HypervisorEvent::Kind::kDomainRebooted, uuid, name);
}

HypervisorEvent EventTranslator::MemoryChanged(const std::string& uuid,
                                               const std::string& name) const {
  return Happened(HypervisorEvent::Kind::kDomainMemoryChanged, uuid, name);
}

HypervisorEvent EventTranslator::Happened(HypervisorEvent::Kind kind, const std::string& uuid,
                                          const std::string& name) const {
  HypervisorEvent event;
  event.kind = kind;
  const auto found = known_.find(uuid);
  if (found != known_.end()) {
    event.domains.push_back(found->second);
  } else {
    DomainStatus status;
    status.uuid = uuid;
    status.name = name;
    status.state = PowerState::kRunning;
    status.reason = "unknown";
    event.domains.push_back(status);
  }
  return event;
}

uint64_t EventTranslator::EventCount(const std::string& uuid) const {
  const auto found = event_counts_.find(uuid);
  return found == event_counts_.end() ? 0 : found->second;
}

std::vector<HypervisorEvent> EventTranslator::Observed(const std::string& uuid,
                                                       const std::optional<DomainStatus>& status,
                                                       uint64_t event_count) {
  if (EventCount(uuid) != event_count) return {};
  HypervisorEvent event;
  const auto found = known_.find(uuid);
  if (status.has_value()) {
    if (found != known_.end() && found->second.state == status->state) return {};
    event.kind = HypervisorEvent::Kind::kDomainState;
    event.domains.push_back(*status);
    known_[uuid] = *status;
  } else {
    if (found == known_.end()) return {};
    event.kind = HypervisorEvent::Kind::kDomainGone;
    event.domains.push_back(found->second);
    known_.erase(found);
  }
  return {event};
}

}  // namespace cvm::hypervisor
