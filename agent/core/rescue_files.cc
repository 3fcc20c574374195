// SPDX-License-Identifier: Apache-2.0
#include "agent/core/rescue_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "agent/core/import_folder.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/status_macros.h"

namespace cvm::agent::core {
namespace {

// Between two looks for a cancel.
constexpr size_t kChunkBytes = size_t{16} << 20;

absl::StatusOr<uint64_t> SizeOf(const UniqueFd& fd) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return FileError(errno, "inspect", "the rescue ISO");
  return static_cast<uint64_t>(info.st_size);
}

absl::Status CopyIso(const Core& core, const v1::Instance& instance, StepContext& context) {
  CVM_ASSIGN_OR_RETURN(const UniqueFd source,
                       OpenSource(core.config.import_dir, instance.rescue().iso(), "rescue.iso"));
  CVM_ASSIGN_OR_RETURN(const uint64_t size, SizeOf(source));
  const std::string path = core.paths.RescueIso(instance.id());
  // A half-made one belongs to QEMU's user by now, or to nobody.
  CVM_RETURN_IF_ERROR(RemoveFile(path));
  const UniqueFd target(
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!target) return FileError(errno, "create", path);
  uint64_t copied = 0;
  while (true) {
    if (context.Cancelled()) {
      return Error(ErrorReason::ERROR_REASON_OPERATION_CANCELLED, "cancelled on request");
    }
    const ssize_t got =
        copy_file_range(source.get(), nullptr, target.get(), nullptr, kChunkBytes, 0);
    if (got < 0) return FileError(errno, "write", path);
    if (got == 0) break;
    copied += static_cast<uint64_t>(got);
    if (size > 0) context.Progress(static_cast<double>(copied) / static_cast<double>(size));
  }
  CVM_RETURN_IF_ERROR(SyncFile(path));
  return SyncFolderOf(path);
}

}  // namespace

absl::StatusOr<uint64_t> RescueIsoBytes(const Core& core) {
  CVM_ASSIGN_OR_RETURN(const UniqueFd source,
                       OpenSource(core.config.import_dir, core.config.rescue.iso, "rescue.iso"));
  return SizeOf(source);
}

absl::Status MakeRescueMedium(const Core& core, const v1::Instance& instance,
                              StepContext& context) {
  const v1::Rescue& rescue = instance.rescue();
  if (!rescue.has_disk()) return CopyIso(core, instance, context);
  return core.disk_images.CreateOverlay(core.paths.Volume(rescue.disk().id()),
                                        core.paths.Image(rescue.image_id()),
                                        rescue.disk().size_bytes());
}

absl::Status RemoveRescueFiles(const Paths& paths, const v1::Instance& instance) {
  if (instance.rescue().has_disk()) {
    CVM_RETURN_IF_ERROR(RemoveFile(paths.Volume(instance.rescue().disk().id())));
  }
  for (const std::string& path :
       {paths.RescueIso(instance.id()), paths.RescueConfigDrive(instance.id()),
        paths.RescueNvram(instance.id())}) {
    CVM_RETURN_IF_ERROR(RemoveFile(path));
  }
  return absl::OkStatus();
}

}  // namespace cvm::agent::core
