// SPDX-License-Identifier: Apache-2.0
#include "common/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "common/errors.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "fmt/format.h"

namespace cvm {
namespace {

constexpr std::string_view kTemporaryMark = ".tmp-";
constexpr std::string_view kTemporaryTemplate = ".tmp-XXXXXX";
constexpr size_t kChunkBytes = size_t{64} << 10;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

int OpenRetrying(const std::string& path, int flags) {
  int fd = -1;
  do {
    fd = open(path.c_str(), flags | O_CLOEXEC);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

absl::Status SyncPath(const std::string& path, int flags) {
  const UniqueFd fd(OpenRetrying(path, flags));
  if (!fd) return FileError(errno, "open", path);
  if (fsync(fd.get()) != 0) return FileError(errno, "sync", path);
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return FileError(errno, "write", path);
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

// Fills the new file `temporary` and moves it over `path`.
absl::Status FillAndRename(UniqueFd fd, const std::string& temporary, const std::string& path,
                           std::string_view content, mode_t mode) {
  CVM_RETURN_IF_ERROR(WriteAll(fd.get(), content, path));
  if (fchmod(fd.get(), mode) != 0) return FileError(errno, "set the mode of", path);
  if (fsync(fd.get()) != 0) return FileError(errno, "sync", path);
  // Some file systems report a full disk only here.
  if (close(fd.Release()) != 0) return FileError(errno, "close", path);
  if (rename(temporary.c_str(), path.c_str()) != 0) return FileError(errno, "replace", path);
  return SyncFolderOf(path);
}

bool HasDotDot(std::string_view path) {
  while (true) {
    const size_t slash = path.find('/');
    if (path.substr(0, slash) == "..") return true;
    if (slash == std::string_view::npos) return false;
    path.remove_prefix(slash + 1);
  }
}

absl::Status CheckRelativePath(std::string_view path) {
  const auto invalid = [path](std::string_view problem) {
    return InvalidField(
        "path",
        fmt::format("'{}' {}", PrintableText(ClipText(path, 200), LineBreaks::kEscape), problem));
  };
  if (path.empty()) return InvalidField("path", "is empty");
  if (path.size() > 4095) return invalid("is longer than 4095 bytes");
  if (path.front() == '/') return invalid("must be relative to the configured folder");
  if (PrintableText(path, LineBreaks::kEscape) != path) {
    return invalid("must be UTF-8 without control characters");
  }
  if (HasDotDot(path)) return invalid("must not hold '..'");
  return absl::OkStatus();
}

int OpenAt2Beneath(int folder, const std::string& path, uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  long fd = -1;
  do {
    fd = syscall(SYS_openat2, folder, path.c_str(), &how, sizeof(how));
  } while (fd < 0 && errno == EINTR);
  return static_cast<int>(fd);
}

// Opens with openat2 and requires a regular file. `name` is what the caller gave.
absl::StatusOr<UniqueFd> OpenRegularBeneath(int folder, const std::string& name, uint64_t flags) {
  const auto not_found = [&name](std::string_view problem) {
    return Error(common::v1::ERROR_REASON_SOURCE_NOT_FOUND,
                 fmt::format("'{}' {}", ClipText(name, 200), problem), {{"path", name}});
  };
  UniqueFd fd(OpenAt2Beneath(folder, name, flags));
  if (!fd) {
    switch (errno) {
      case ENOENT:
      case ENOTDIR:
        return not_found("does not exist");
      case ELOOP:
        return not_found("is reached through a symbolic link, which is not followed");
      case EXDEV:
        return not_found("lies outside the configured folder");
      case EACCES:
      case EPERM:
        return not_found("may not be read");
      case ENXIO:
      case EISDIR:
        return not_found("is not a regular file");
      case ENAMETOOLONG:
        return InvalidField("path", "has a part that is too long");
      default:
        return absl::ErrnoToStatus(errno, fmt::format("cannot open '{}'", name));
    }
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) {
    return absl::ErrnoToStatus(errno, fmt::format("cannot inspect '{}'", name));
  }
  if (!S_ISREG(info.st_mode)) return not_found("is not a regular file");
  return fd;
}

}  // namespace

absl::Status FileError(int error, std::string_view what, const std::string& path) {
  if (error == ENOSPC || error == EDQUOT) {
    return Error(common::v1::ERROR_REASON_NO_SPACE, "no space is left on the host's disk");
  }
  return absl::ErrnoToStatus(error, fmt::format("cannot {} {}", what, path));
}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  if (this != &other) {
    Reset();
    fd_ = other.Release();
  }
  return *this;
}

void UniqueFd::Reset() {
  // Never retried on EINTR: Linux has closed the descriptor by then.
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode) {
  std::string temporary = path + std::string(kTemporaryTemplate);
  UniqueFd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return FileError(errno, "create", path);
  absl::Status status = FillAndRename(std::move(fd), temporary, path, content, mode);
  // Absent when the rename was done.
  if (!status.ok()) unlink(temporary.c_str());
  return status;
}

absl::Status RemoveTemporaryFiles(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  if (dir == nullptr) return FileError(errno, "list", folder);
  while (true) {
    errno = 0;
    const dirent* entry = readdir(dir.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    const size_t mark = name.rfind(kTemporaryMark);
    if (mark == std::string_view::npos || mark == 0) continue;
    if (name.size() - mark != kTemporaryTemplate.size()) continue;
    if (unlinkat(dirfd(dir.get()), entry->d_name, 0) != 0 && errno != ENOENT) {
      return FileError(errno, "remove", fmt::format("{}/{}", folder, name));
    }
  }
  if (errno != 0) return FileError(errno, "list", folder);
  return SyncPath(folder, O_RDONLY | O_DIRECTORY);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes) {
  const UniqueFd fd(OpenRetrying(path, O_RDONLY | O_NOCTTY));
  if (!fd) return FileError(errno, "open", path);
  std::string content;
  std::array<char, kChunkBytes> chunk;
  while (true) {
    const ssize_t got = read(fd.get(), chunk.data(), chunk.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      return FileError(errno, "read", path);
    }
    if (got == 0) return content;
    content.append(chunk.data(), static_cast<size_t>(got));
    if (content.size() > max_bytes) {
      return absl::OutOfRangeError(fmt::format("{} is larger than {} bytes", path, max_bytes));
    }
  }
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) != 0) {
    // Without its folder, too, the file is absent.
    if (errno == ENOENT) return absl::OkStatus();
    return FileError(errno, "remove", path);
  }
  return SyncFolderOf(path);
}

absl::Status DiscardBlocks(const std::string& path) {
  const UniqueFd fd(OpenRetrying(path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  if (!fd) return errno == ENOENT ? absl::OkStatus() : FileError(errno, "open", path);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return FileError(errno, "inspect", path);
  if (!S_ISREG(info.st_mode)) return FileError(EINVAL, "discard", path);
  if (info.st_size == 0) return absl::OkStatus();
  int result = 0;
  do {
    result = fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, info.st_size);
  } while (result != 0 && errno == EINTR);
  return result == 0 ? absl::OkStatus() : FileError(errno, "discard", path);
}

absl::Status SyncFile(const std::string& path) { return SyncPath(path, O_RDONLY | O_NOCTTY); }

absl::Status SyncFolderOf(const std::string& path) {
  return SyncPath(FolderOf(path), O_RDONLY | O_DIRECTORY);
}

absl::Status MakeFolders(const std::string& path, mode_t mode) {
  if (path.empty()) return absl::InvalidArgumentError("cannot create a folder without a name");
  for (size_t end = 0; end < path.size();) {
    end = std::min(path.find('/', end + 1), path.size());
    const std::string folder = path.substr(0, end);
    if (mkdir(folder.c_str(), mode) == 0) {
      // mkdir takes the process's umask off.
      if (chmod(folder.c_str(), mode) != 0) return FileError(errno, "set the mode of", folder);
      CVM_RETURN_IF_ERROR(SyncFolderOf(folder));
      continue;
    }
    const int error = errno;
    struct stat info {};
    if (error != EEXIST) return FileError(error, "create", folder);
    if (stat(folder.c_str(), &info) != 0) return FileError(errno, "inspect", folder);
    if (!S_ISDIR(info.st_mode)) return FileError(ENOTDIR, "create", folder);
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenBeneath(const std::string& folder, const std::string& relative_path) {
  CVM_RETURN_IF_ERROR(CheckRelativePath(relative_path));
  const UniqueFd base(OpenRetrying(folder, O_PATH | O_DIRECTORY));
  if (!base) return absl::ErrnoToStatus(errno, fmt::format("cannot open the folder {}", folder));
  // First without touching it: opening a FIFO or a device can have effects of its own. Between the
  // two opens the name may come to mean something else, so the second one is checked as well, and
  // O_NONBLOCK keeps it from waiting.
  CVM_RETURN_IF_ERROR(OpenRegularBeneath(base.get(), relative_path, O_PATH).status());
  absl::StatusOr<UniqueFd> fd =
      OpenRegularBeneath(base.get(), relative_path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!fd.ok()) return fd.status();
  const int flags = fcntl(fd->get(), F_GETFL);
  if (flags < 0 || fcntl(fd->get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
    return absl::ErrnoToStatus(errno, fmt::format("cannot open '{}'", relative_path));
  }
  return fd;
}

}  // namespace cvm
