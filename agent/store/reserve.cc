// SPDX-License-Identifier: Apache-2.0
#include "agent/store/reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "common/errors.h"
#include "common/file.h"

namespace cvm::agent {
namespace {

// Enough for the records of some dozens of stops.
constexpr off_t kPiece = 1 << 20;

}  // namespace

absl::Status Reserve::Fill() {
  if (path_.empty()) return absl::OkStatus();
  const UniqueFd fd(open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return FileError(errno, "open", path_);
  struct stat before {};
  if (fstat(fd.get(), &before) != 0) return FileError(errno, "look at", path_);
  const auto wanted = static_cast<off_t>(bytes_);
  if (before.st_size >= wanted) return absl::OkStatus();
  // Its size says how much is held: a failure part of the way must not look like the whole.
  if (const int error = posix_fallocate(fd.get(), 0, wanted); error != 0) {
    if (ftruncate(fd.get(), before.st_size) != 0) return FileError(errno, "cut back", path_);
    return FileError(error, "fill", path_);
  }
  return absl::OkStatus();
}

bool Reserve::GiveUpPiece() {
  if (path_.empty()) return false;
  const UniqueFd fd(open(path_.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  struct stat held {};
  if (!fd || fstat(fd.get(), &held) != 0 || held.st_size == 0) return false;
  return ftruncate(fd.get(), std::max<off_t>(0, held.st_size - kPiece)) == 0;
}

}  // namespace cvm::agent
