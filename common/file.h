// SPDX-License-Identifier: Apache-2.0
//
// Files that survive a power cut, and files that a caller names.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cvm {

// Owns a descriptor. Move-only.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { Reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int Release() { return std::exchange(fd_, -1); }
  void Reset();

 private:
  int fd_ = -1;
};

// "cannot <what> <path>: <errno's text>" with the code that belongs to `error`, an errno; without a
// reason, so that the path is not shown to a caller. ENOSPC and EDQUOT are NO_SPACE, without the
// path. The functions below fail with it.
absl::Status FileError(int error, std::string_view what, const std::string& path);

// Writes to a temporary file beside `path`, fsyncs it, renames it over `path` and fsyncs the
// folder. `mode` is exact: the umask is not applied. A crash can leave "<path>.tmp-XXXXXX" behind.
absl::Status WriteFileAtomically(const std::string& path, std::string_view content, mode_t mode);
// Removes what crashes of WriteFileAtomically left in `folder`. Not while others write there.
absl::Status RemoveTemporaryFiles(const std::string& folder);
// OutOfRange when the file is larger than `max_bytes`. Blocks on a FIFO: for our own files.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes);
// Removes a file, or nothing when it is absent, and fsyncs its folder.
absl::Status RemoveFile(const std::string& path);
// Gives the blocks of a file that is about to be removed back to the file system, by punching a
// hole over all of it; OK when it is absent. Erases nothing: what that does to the medium is the
// file system's and the device's affair.
absl::Status DiscardBlocks(const std::string& path);
absl::Status SyncFile(const std::string& path);
absl::Status SyncFolderOf(const std::string& path);
// mkdir -p with exactly this mode for what is missing; each new folder's parent is fsynced.
absl::Status MakeFolders(const std::string& path, mode_t mode);

// Opens a regular file beneath `folder` for reading: openat2 with RESOLVE_BENEATH,
// RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS. `relative_path` comes from a caller. Errors:
// INVALID_FIELD with field "path" (absolute, empty, "..", control characters, not UTF-8),
// SOURCE_NOT_FOUND (absent, or not a regular file, or through a link). Those messages name
// `relative_path`, never `folder`. Does not block, and does not open what is not a regular file.
absl::StatusOr<UniqueFd> OpenBeneath(const std::string& folder, const std::string& relative_path);

}  // namespace cvm
