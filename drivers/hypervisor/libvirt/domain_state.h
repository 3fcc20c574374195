// SPDX-License-Identifier: Apache-2.0
//
// libvirt's numbers for states, reasons and events, in the words of the interface. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "drivers/hypervisor/hypervisor.h"

namespace cvm::hypervisor {

// From virDomainState and the reason of that state.
void SetState(int state, int reason, DomainStatus* status);

// Turns libvirt's events into ours. An event of libvirt tells what happened, not what is: what it
// leaves out (whether the domain is persistent, and its state when its definition changed) is
// remembered from before. Not thread-safe.
//
// has_managed_save after an event is a guess (a domain that was saved has one): GetDomain knows.
class EventTranslator {
 public:
  // Forgets everything but these.
  void Reset(const std::vector<DomainStatus>& domains);
  // From virDomainEventType and its detail. Nothing for an event that changes no state.
  std::vector<HypervisorEvent> Lifecycle(const std::string& uuid, const std::string& name, int type,
                                         int detail);
  HypervisorEvent Rebooted(const std::string& uuid, const std::string& name) const;
  HypervisorEvent MemoryChanged(const std::string& uuid, const std::string& name) const;

  // How many events there have been of this domain.
  uint64_t EventCount(const std::string& uuid) const;
  // The domain was looked at: `status`, or nothing when it does not exist, and `event_count` taken
  // before that. An event only if it differs from what the events said; nothing when there was an
  // event meanwhile, which may be younger.
  std::vector<HypervisorEvent> Observed(const std::string& uuid,
                                        const std::optional<DomainStatus>& status,
                                        uint64_t event_count);

 private:
  // An event of a domain that runs, which changes nothing of what is known of it.
  HypervisorEvent Happened(HypervisorEvent::Kind kind, const std::string& uuid,
                           const std::string& name) const;

  std::map<std::string, uint64_t> event_counts_;
  std::map<std::string, DomainStatus> known_;
};

}  // namespace cvm::hypervisor
