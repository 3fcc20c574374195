// SPDX-License-Identifier: Apache-2.0
#include "agent/core/volumes.h"

#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {

absl::StatusOr<v1::Volume> FindVolume(const Core& core, const std::string& id) {
  CVM_RETURN_IF_ERROR(CheckId("volume_id", kDiskPrefix, id));
  std::optional<v1::Volume> volume = core.ledger.volumes().Find(id);
  if (volume) return *std::move(volume);
  return Error(ErrorReason::ERROR_REASON_VOLUME_NOT_FOUND,
               fmt::format("there is no volume {} on this host", id), {{"volume_id", id}});
}

absl::Status VolumeInUse(const v1::Volume& volume) {
  const bool deleting = volume.state() == v1::Volume::DELETING;
  return Error(ErrorReason::ERROR_REASON_VOLUME_IN_USE,
               deleting
                   ? fmt::format("volume {} is being deleted", volume.id())
                   : fmt::format("instance {} is being created with volume {}: wait for its end",
                                 volume.instance_id(), volume.id()),
               {{"volume_id", volume.id()}});
}

v1::Volume KeepAsVolume(const v1::Instance& instance, const v1::DiskSpec& disk, absl::Time now) {
  v1::Volume volume;
  volume.set_id(disk.id());
  volume.set_state(v1::Volume::AVAILABLE);
  volume.set_size_bytes(disk.size_bytes());
  volume.set_owner(instance.owner());
  volume.set_source_instance_id(instance.id());
  *volume.mutable_keep_time() = ToTimestamp(now);
  // Another one when the same disk is kept again.
  volume.set_etag(fmt::format("{:016x}", static_cast<uint64_t>(absl::ToUnixNanos(now))));
  return volume;
}

bool IsVolume(const Core& core, const std::string& disk_id) {
  return core.ledger.volumes().Find(disk_id).has_value();
}

}  // namespace cvm::agent::core
