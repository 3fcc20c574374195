// SPDX-License-Identifier: Apache-2.0
#include "agent/core/reinstall_record.h"

#include "common/status_macros.h"

namespace cvm::agent::core {

absl::StatusOr<std::vector<store::ReinstallRecord>> UnfinishedReinstalls(const Core& core) {
  CVM_ASSIGN_OR_RETURN(const std::vector<store::OperationRecord> unfinished,
                       core.ledger.store().LoadUnfinishedOperations());
  std::vector<store::ReinstallRecord> reinstalls;
  for (const store::OperationRecord& record : unfinished) {
    store::ReinstallRecord reinstall;
    if (record.request().UnpackTo(&reinstall)) reinstalls.push_back(std::move(reinstall));
  }
  return reinstalls;
}

}  // namespace cvm::agent::core
