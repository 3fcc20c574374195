// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_files.h"

#include <filesystem>
#include <system_error>

#include "cloudinit/config_drive.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {

absl::Status RemoveDisk(const Paths& paths, const std::string& disk_id) {
  const std::string path = paths.Volume(disk_id);
  if (const absl::Status discarded = DiscardBlocks(path); !discarded.ok()) {
    CVM_LOG_WARNING("the blocks of {} are not discarded: {}", disk_id,
                    std::string(discarded.message()));
  }
  return RemoveFile(path);
}

absl::Status WriteConfigDrive(const std::string& path, const cloudinit::GuestSettings& settings) {
  CVM_ASSIGN_OR_RETURN(const std::string iso, cloudinit::BuildConfigDrive(settings));
  CVM_RETURN_IF_ERROR(MakeFolders(std::filesystem::path(path).parent_path(), 0711));
  return WriteFileAtomically(path, iso, 0600);
}

std::vector<std::string> MissingDisks(const Paths& paths, const v1::Instance& instance) {
  std::vector<std::string> missing;
  const auto look = [&](const std::string& id) {
    std::error_code error;
    // Only a clear no counts.
    if (!std::filesystem::exists(paths.Volume(id), error) && !error) missing.push_back(id);
  };
  look(instance.spec().system_disk().id());
  for (const v1::DiskSpec& disk : instance.spec().data_disks()) look(disk.id());
  return missing;
}

absl::Status RemoveDisks(const Paths& paths, const v1::Instance& instance,
                         const std::function<bool(const std::string& disk_id)>& kept) {
  CVM_RETURN_IF_ERROR(RemoveDisk(paths, instance.spec().system_disk().id()));
  for (const v1::DiskSpec& disk : instance.spec().data_disks()) {
    if (!kept(disk.id())) CVM_RETURN_IF_ERROR(RemoveDisk(paths, disk.id()));
  }
  if (instance.rescue().has_disk()) {
    CVM_RETURN_IF_ERROR(RemoveDisk(paths, instance.rescue().disk().id()));
  }
  return absl::OkStatus();
}

absl::Status RemoveInstanceFolder(const Paths& paths, const std::string& instance_id) {
  const std::string folder = paths.Instance(instance_id);
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) {
    return Error(ErrorReason::ERROR_REASON_INTERNAL,
                 fmt::format("cannot remove the files of {}: {}", instance_id, error.message()));
  }
  return SyncFolderOf(folder);
}

}  // namespace cvm::agent::core
