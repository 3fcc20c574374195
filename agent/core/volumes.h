// SPDX-License-Identifier: Apache-2.0
//
// Volumes, as the workflows of instances and of volumes see them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/core/core.h"
#include "cvm/agent/v1/volume.pb.h"

namespace cvm::agent::core {

// MALFORMED_ID, VOLUME_NOT_FOUND.
absl::StatusOr<v1::Volume> FindVolume(const Core& core, const std::string& id);

// VOLUME_IN_USE.
absl::Status VolumeInUse(const v1::Volume& volume);

// A data disk of an instance that is about to go, as a volume.
v1::Volume KeepAsVolume(const v1::Instance& instance, const v1::DiskSpec& disk, absl::Time now);

// Whether the disk is a volume, be it one that an instance is being created with. The workflows of
// instances leave its file alone.
bool IsVolume(const Core& core, const std::string& disk_id);

}  // namespace cvm::agent::core
