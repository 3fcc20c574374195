// SPDX-License-Identifier: Apache-2.0
#include "cli/placement.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

constexpr size_t kCopyBytes = 4 << 20;
// The agent reads it as root; nobody else needs to.
constexpr mode_t kPlacedMode = 0640;

absl::Status Problem(const std::string& what, int error) {
  const std::string text = fmt::format("{}: {}", what, strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case EISDIR:
      return absl::InvalidArgumentError(text);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return absl::ResourceExhaustedError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<std::string> RealPath(const std::string& path) {
  char* const resolved = realpath(path.c_str(), nullptr);
  if (resolved == nullptr) return Problem(path, errno);
  std::string result(resolved);
  free(resolved);
  return result;
}

absl::Status WriteAll(int fd, std::string_view data, off_t offset, const std::string& folder) {
  while (!data.empty()) {
    const ssize_t written = pwrite(fd, data.data(), data.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return Problem("cannot copy the file to " + folder, errno);
    data.remove_prefix(static_cast<size_t>(written));
    offset += written;
  }
  return absl::OkStatus();
}

absl::Status CopySparsely(int from, int to, off_t size, const std::string& folder,
                          const PlacementOptions& options) {
  if (ftruncate(to, size) != 0) return Problem("cannot copy the file to " + folder, errno);
  std::vector<char> buffer(kCopyBytes);
  off_t position = 0;
  while (position < size) {
    // A file system without holes says that everything is data.
    const off_t data = lseek(from, position, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return Problem("cannot read the file", errno);
    const off_t hole = std::min(lseek(from, data, SEEK_HOLE), size);
    if (hole < 0) return Problem("cannot read the file", errno);
    position = data;
    while (position < hole) {
      if (options.on_copied &&
          !options.on_copied(static_cast<uint64_t>(position), static_cast<uint64_t>(size))) {
        return absl::CancelledError("interrupted");
      }
      const size_t wanted = std::min<size_t>(kCopyBytes, static_cast<size_t>(hole - position));
      const ssize_t got = pread(from, buffer.data(), wanted, position);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Problem("cannot read the file", errno);
      if (got == 0) return absl::InvalidArgumentError("the file became shorter while it was read");
      CVM_RETURN_IF_ERROR(
          WriteAll(to, {buffer.data(), static_cast<size_t>(got)}, position, folder));
      position += got;
    }
  }
  return absl::OkStatus();
}

// What lies beneath `folder` (both real paths), relative to it.
std::optional<std::string> RelativeTo(const std::string& folder, const std::string& path) {
  const std::string prefix = folder == "/" ? folder : folder + "/";
  if (!path.starts_with(prefix)) return std::nullopt;
  return path.substr(prefix.size());
}

}  // namespace

PlacedFile::~PlacedFile() {
  // Nobody is left to be told; Remove() is there for who wants to know.
  Remove().IgnoreError();
}

absl::Status PlacedFile::Remove() {
  if (!std::exchange(there_, false)) return absl::OkStatus();
  if (unlinkat(folder_.get(), name_.c_str(), 0) == 0 || errno == ENOENT) return absl::OkStatus();
  return Problem(fmt::format("cannot remove '{}' from the import folder", name_), errno);
}

absl::StatusOr<Placement> PlaceImage(const std::string& file, const std::string& import_folder,
                                     const PlacementOptions& options, Random& random) {
  CVM_ASSIGN_OR_RETURN(const std::string path, RealPath(file));
  // O_NONBLOCK: a pipe must not hold the open up.
  const UniqueFd source(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info {};
  if (!source || fstat(source.get(), &info) != 0) return Problem(file, errno);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(fmt::format("{}: not a regular file", file));
  }
  const auto real_folder = RealPath(import_folder);
  if (!real_folder.ok()) return real_folder.status();
  const std::string& folder_path = *real_folder;
  Placement result;
  if (auto relative = RelativeTo(folder_path, path)) {
    result.source_file = *std::move(relative);
    return result;
  }

  UniqueFd folder(open(folder_path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return Problem(import_folder, errno);
  const int folder_fd = folder.get();
  const std::string name = "cvmctl-" + MakeUuid(random) + ".part";
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd target(openat(folder_fd, name.c_str(), flags, kPlacedMode));
  if (!target) return Problem("cannot write to " + import_folder, errno);
  result.placed = std::make_unique<PlacedFile>(std::move(folder), name);
  result.source_file = name;

  if (options.reflink && ioctl(target.get(), FICLONE, source.get()) == 0) {
    result.means = Placement::Means::kReflink;
    return result;
  }
  // A link to another user's file could not be told from the original by who may read it.
  if (options.hard_link && info.st_uid == geteuid()) {
    const std::string temporary = name + ".link";
    const std::string opened = fmt::format("/proc/self/fd/{}", source.get());
    if (linkat(AT_FDCWD, opened.c_str(), folder_fd, temporary.c_str(), AT_SYMLINK_FOLLOW) == 0) {
      if (renameat(folder_fd, temporary.c_str(), folder_fd, name.c_str()) == 0) {
        result.means = Placement::Means::kHardLink;
        return result;
      }
      unlinkat(folder_fd, temporary.c_str(), 0);
    }
  }
  result.means = Placement::Means::kCopy;
  CVM_RETURN_IF_ERROR(
      CopySparsely(source.get(), target.get(), info.st_size, import_folder, options));
  return result;
}

}  // namespace cvm::cli
