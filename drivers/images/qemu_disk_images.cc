// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "drivers/images/convert_progress.h"
#include "drivers/images/disk_images.h"
#include "drivers/images/foreign_image.h"
#include "drivers/images/image_source.h"
#include "drivers/images/qcow2_header.h"
#include "drivers/images/qemu_img.h"
#include "fmt/format.h"

namespace cvm::images {
namespace {

using common::v1::ERROR_REASON_COMMAND_FAILED;
using common::v1::ERROR_REASON_DISK_TOO_SMALL;
using common::v1::ERROR_REASON_IMAGE_CORRUPT;
using common::v1::ERROR_REASON_INTERNAL;
using common::v1::ERROR_REASON_NO_SPACE;

// qcow2 has room for no more in its header.
constexpr size_t kMaxBackingPathBytes = 1023;

// What tells that a file was written to, or replaced by the same name's other file, meanwhile.
struct FileStamp {
  off_t size;
  timespec changed;
  bool operator==(const FileStamp& other) const {
    return size == other.size && changed.tv_sec == other.changed.tv_sec &&
           changed.tv_nsec == other.changed.tv_nsec;
  }
};

absl::StatusOr<FileStamp> StampOf(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    return Error(ERROR_REASON_INTERNAL,
                 fmt::format("the image file cannot be examined: {}", std::strerror(errno)));
  }
  return FileStamp{status.st_size, status.st_ctim};
}

absl::Status CreateExclusively(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (fd) return absl::OkStatus();
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT) {
    return Error(ERROR_REASON_NO_SPACE, "no space is left on the host's disk");
  }
  CVM_LOG_WARNING("cannot create {}: {}", path, std::strerror(error));
  return Error(ERROR_REASON_COMMAND_FAILED,
               fmt::format("a new disk image file cannot be created: {}", std::strerror(error)));
}

// For a path that this process has created. What went wrong before is what the caller hears.
void RemoveAfterFailure(const std::string& path) {
  if (absl::Status status = RemoveFile(path); !status.ok()) {
    CVM_LOG_ERROR("cannot remove {}: {}", path, status.ToString());
  }
}

absl::Status SyncFileAndFolder(const std::string& path) {
  CVM_RETURN_IF_ERROR(SyncFile(path));
  return SyncFolderOf(path);
}

absl::Status RequireAbsolute(const std::string& path) {
  if (!path.empty() && path.front() == '/') return absl::OkStatus();
  return Error(ERROR_REASON_INTERNAL, "the path of a disk image must be absolute");
}

std::optional<uint64_t> NumberIn(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_unsigned()) return std::nullopt;
  return it->get<uint64_t>();
}

class QemuDiskImages : public DiskImages {
 public:
  absl::StatusOr<ImageInfo> InspectForeign(int fd, Format format,
                                           uint64_t max_virtual_size_bytes) override {
    return InspectForeignImage(fd, format, max_virtual_size_bytes);
  }

  absl::Status Convert(const ConvertRequest& request) override {
    CVM_RETURN_IF_ERROR(RequireAbsolute(request.target_path));
    // A number of our own that is above those of the standard streams, and stays open throughout.
    const UniqueFd source(fcntl(request.source_fd, F_DUPFD_CLOEXEC, 3));
    if (!source) return Error(ERROR_REASON_INTERNAL, "the source of a conversion is not open");
    CVM_ASSIGN_OR_RETURN(const FileStamp before, StampOf(source.get()));
    CVM_ASSIGN_OR_RETURN(
        const ImageInfo info,
        InspectForeignImage(source.get(), request.source_format, request.max_virtual_size_bytes));
    if (request.source_format == Format::kQcow2) {
      CVM_RETURN_IF_ERROR(CheckForeign(source.get(), request));
    }
    CVM_RETURN_IF_ERROR(CreateExclusively(request.target_path));
    absl::Status status = RunConvert(source.get(), request, info);
    if (status.ok()) status = CheckUnchanged(source.get(), before);
    if (status.ok()) status = CheckResult(request.target_path, info);
    if (status.ok()) status = SyncFileAndFolder(request.target_path);
    if (!status.ok()) RemoveAfterFailure(request.target_path);
    return status;
  }

  absl::Status CreateOverlay(const std::string& path, const std::string& base_path,
                             uint64_t size_bytes) override {
    CVM_RETURN_IF_ERROR(RequireAbsolute(base_path));
    if (base_path.size() > kMaxBackingPathBytes) {
      return Error(
          ERROR_REASON_INTERNAL,
          fmt::format("the path of a base image is longer than {} bytes", kMaxBackingPathBytes));
    }
    CVM_ASSIGN_OR_RETURN(const uint64_t base_bytes, VirtualSizeOf(base_path));
    if (size_bytes < base_bytes) {
      return Error(ERROR_REASON_DISK_TOO_SMALL,
                   fmt::format("a disk of {} bytes is smaller than its image of {} bytes; ask for "
                               "at least the image's size",
                               size_bytes, base_bytes),
                   {{"limit", std::to_string(base_bytes)}});
    }
    return Create(path, {"-F", "qcow2", "-b", base_path}, size_bytes);
  }

  absl::Status CreateEmpty(const std::string& path, uint64_t size_bytes) override {
    return Create(path, {}, size_bytes);
  }

  absl::StatusOr<ImageInfo> Inspect(const std::string& path) override {
    CVM_RETURN_IF_ERROR(RequireAbsolute(path));
    // -U: a running guest has it open for writing.
    CVM_ASSIGN_OR_RETURN(
        const CommandResult result,
        RunQemuImg({"info", "-U", "--output=json", "-f", "qcow2", path}, QemuImgLimits()));
    if (result.exit_code != 0) return QemuImgError("info", result);
    const auto report = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
    const std::optional<uint64_t> virtual_size = NumberIn(report, "virtual-size");
    const std::optional<uint64_t> actual_size = NumberIn(report, "actual-size");
    if (!virtual_size || !actual_size) {
      return Error(ERROR_REASON_COMMAND_FAILED, "qemu-img info printed no sizes");
    }
    return ImageInfo{*virtual_size, *actual_size};
  }

 private:
  // Walks all of the image's tables.
  absl::Status CheckForeign(int fd, const ConvertRequest& request) {
    CommandLimits limits = QemuImgLimits();
    limits.timeout = absl::Minutes(30);
    limits.cpu_seconds = 600;
    limits.file_size_bytes = 1;  // it has nothing to write
    limits.inherit_fds = {fd};
    limits.cancelled = request.cancelled;
    CVM_ASSIGN_OR_RETURN(
        const CommandResult result,
        RunQemuImg({"check", "--output=json", DescriptorFilename(fd, Format::kQcow2)}, limits));
    constexpr int kCorrupt = 2;
    constexpr int kOnlyLeaks = 3;  // clusters that nothing uses: harmless
    if (result.exit_code == 0 || result.exit_code == kOnlyLeaks) return absl::OkStatus();
    absl::Status status = QemuImgError("check", result);
    if (ReasonOf(status) != ERROR_REASON_COMMAND_FAILED) return status;
    if (result.exit_code == kCorrupt) {
      const auto report = nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
      return Error(
          ERROR_REASON_IMAGE_CORRUPT,
          fmt::format("the image is damaged: qemu-img check finds {} errors in it; copy it "
                      "again",
                      NumberIn(report, "corruptions").value_or(0)));
    }
    return Error(ERROR_REASON_IMAGE_CORRUPT,
                 "the image is damaged: qemu-img check cannot read its tables; copy it again");
  }

  absl::Status RunConvert(int fd, const ConvertRequest& request, const ImageInfo& info) {
    CommandLimits limits = QemuImgLimits();
    limits.timeout = absl::Hours(6);
    limits.cpu_seconds = 2UL * 3600;
    // All data and its tables, amply.
    limits.file_size_bytes = info.virtual_size_bytes + info.virtual_size_bytes / 64 + (64 << 20);
    limits.inherit_fds = {fd};
    limits.cancelled = request.cancelled;
    ConvertProgress progress(request.progress);
    limits.on_output = [&progress](std::string_view piece) { progress.Feed(piece); };
    CVM_ASSIGN_OR_RETURN(
        const CommandResult result,
        RunQemuImg({"convert", "-p", "-O", "qcow2", DescriptorFilename(fd, request.source_format),
                    request.target_path},
                   limits));
    if (result.exit_code != 0) return QemuImgError("convert", result);
    return absl::OkStatus();
  }

  // The header that was approved must be the one that qemu-img has read.
  absl::Status CheckUnchanged(int fd, const FileStamp& before) {
    CVM_ASSIGN_OR_RETURN(const FileStamp after, StampOf(fd));
    if (after == before) return absl::OkStatus();
    return Error(ERROR_REASON_IMAGE_CORRUPT,
                 "the image file was changed while it was read; try again when it is complete");
  }

  absl::Status CheckResult(const std::string& path, const ImageInfo& source) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
      return Error(ERROR_REASON_COMMAND_FAILED,
                   fmt::format("the converted image cannot be opened: {}", std::strerror(errno)));
    }
    const absl::StatusOr<ImageInfo> result =
        InspectForeignImage(fd.get(), Format::kQcow2, std::numeric_limits<uint64_t>::max());
    if (result.ok() && result->virtual_size_bytes == source.virtual_size_bytes) {
      return absl::OkStatus();
    }
    CVM_LOG_ERROR("bad result of qemu-img convert: {}", result.status().ToString());
    return Error(ERROR_REASON_COMMAND_FAILED, "qemu-img convert made an image that is not right");
  }

  absl::StatusOr<uint64_t> VirtualSizeOf(const std::string& path) {
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
      return Error(ERROR_REASON_COMMAND_FAILED,
                   fmt::format("the base image cannot be opened: {}", std::strerror(errno)));
    }
    CVM_ASSIGN_OR_RETURN(const ImageSource source, ImageSource::Open(fd.get()));
    return ReadQcow2VirtualSize(source);
  }

  // In place and not by rename: a file that a killed step leaves behind has the name that the
  // step's undo removes, and no other.
  absl::Status Create(const std::string& path, const std::vector<std::string>& options,
                      uint64_t size_bytes) {
    CVM_RETURN_IF_ERROR(RequireAbsolute(path));
    if (size_bytes == 0 || size_bytes % 512 != 0) {
      return InvalidField("size_bytes", "must be whole sectors of 512 bytes and not 0");
    }
    CVM_RETURN_IF_ERROR(RemoveFile(path));
    CVM_RETURN_IF_ERROR(CreateExclusively(path));
    absl::Status status = RunCreate(path, options, size_bytes);
    if (status.ok()) status = SyncFileAndFolder(path);
    if (!status.ok()) RemoveAfterFailure(path);
    return status;
  }

  absl::Status RunCreate(const std::string& path, const std::vector<std::string>& options,
                         uint64_t size_bytes) {
    std::vector<std::string> arguments = {"create", "-q", "-f", "qcow2"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(path);
    arguments.push_back(std::to_string(size_bytes));
    CVM_ASSIGN_OR_RETURN(const CommandResult result, RunQemuImg(arguments, QemuImgLimits()));
    if (result.exit_code != 0) return QemuImgError("create", result);
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<DiskImages> MakeQemuDiskImages() { return std::make_unique<QemuDiskImages>(); }

}  // namespace cvm::images
