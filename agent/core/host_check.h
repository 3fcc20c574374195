// SPDX-License-Identifier: Apache-2.0
//
// What on the host is not as the records say. Changes nothing. One file each for what libvirt knows
// (check_domains.cc) and for what lies on the host (check_files.cc).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "cvm/agent/v1/host_service.pb.h"

namespace cvm::agent::core {

// A domain with the agent's element, of which there is no record.
struct LostInstance {
  v1::Instance instance;
  hypervisor::DomainStatus domain;
};

struct DomainFindings {
  std::vector<v1::Finding> findings;
  std::vector<LostInstance> lost;
  // What the domains without a record have as their disks: nobody's orphan, whatever the store
  // says.
  std::set<std::string> paths_in_use;
};

// Leaves out instances with an operation under way. HYPERVISOR_UNAVAILABLE, and the hypervisor's
// other errors.
absl::StatusOr<DomainFindings> CheckDomains(const Core& core);

// Files in the agent's folders, and taps. STORE_UNAVAILABLE, INTERNAL, HYPERVISOR_ERROR.
absl::StatusOr<std::vector<v1::Finding>> CheckFiles(const Core& core,
                                                    const std::set<std::string>& paths_in_use);

// Removes what the finding of CheckFiles() is about, if it still is one. Nothing that is written
// down meanwhile can come to own it.
absl::Status RemoveOrphan(const Core& core, const v1::Finding& finding);

// All of the above as the answer of CheckHost.
absl::StatusOr<v1::CheckHostResponse> CheckHost(const Core& core);

// The kinds that RepairHost can do something about; the second: when it is not told which.
bool IsRepairable(v1::Finding::Kind kind);
bool IsRepairedByDefault(v1::Finding::Kind kind);

}  // namespace cvm::agent::core
