// SPDX-License-Identifier: Apache-2.0
#include "agent/core/host_manager.h"

#include "agent/core/host_check.h"
#include "agent/core/workflows.h"

namespace cvm::agent::core {

absl::StatusOr<v1::CheckHostResponse> HostManager::Check() const { return CheckHost(core_); }

absl::StatusOr<v1::Operation> HostManager::Repair(const Caller& caller,
                                                  const v1::RepairHostRequest& request) {
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(),
                        [&] { return PlanRepairHost(core_, request); });
}

}  // namespace cvm::agent::core
