// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_files.h"

#include <filesystem>
#include <system_error>

#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {

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

absl::Status RemoveDisks(const Paths& paths, const v1::Instance& instance) {
  CVM_RETURN_IF_ERROR(RemoveFile(paths.Volume(instance.spec().system_disk().id())));
  for (const v1::DiskSpec& disk : instance.spec().data_disks()) {
    CVM_RETURN_IF_ERROR(RemoveFile(paths.Volume(disk.id())));
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
