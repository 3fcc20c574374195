// SPDX-License-Identifier: Apache-2.0
#include "agent/core/image_uses.h"

#include "agent/core/reinstall_record.h"
#include "common/status_macros.h"

namespace cvm::agent::core {

absl::StatusOr<ImageUses> FindImageUses(const Core& core) {
  ImageUses uses;
  // Before the instances: a reinstall that ends in between is then counted, not forgotten.
  CVM_ASSIGN_OR_RETURN(const std::vector<store::ReinstallRecord> reinstalls,
                       UnfinishedReinstalls(core));
  for (const store::ReinstallRecord& reinstall : reinstalls) {
    uses[reinstall.before().spec().image_id()].insert(reinstall.instance_id());
    uses[reinstall.after().spec().image_id()].insert(reinstall.instance_id());
  }
  for (const InstancePtr& instance : core.ledger.instances().All()) {
    // One that is being deleted still has its disks, until its record is gone.
    if (instance->lifecycle() == v1::LIFECYCLE_LAUNCH_FAILED) continue;
    uses[instance->spec().image_id()].insert(instance->id());
    if (instance->rescue().has_disk()) uses[instance->rescue().image_id()].insert(instance->id());
  }
  return uses;
}

}  // namespace cvm::agent::core
