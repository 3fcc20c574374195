// SPDX-License-Identifier: Apache-2.0
#include "drivers/images/image_source.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::images {

absl::StatusOr<ImageSource> ImageSource::Open(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) {
    return Error(common::v1::ERROR_REASON_INTERNAL,
                 fmt::format("the image file cannot be examined: {}", std::strerror(errno)));
  }
  if (!S_ISREG(status.st_mode)) {
    return Error(common::v1::ERROR_REASON_IMAGE_UNSAFE,
                 "the image is not a regular file; give a plain file");
  }
  return ImageSource(fd, static_cast<uint64_t>(status.st_size),
                     static_cast<uint64_t>(status.st_blocks) * 512);
}

absl::StatusOr<std::string> ImageSource::ReadUpTo(uint64_t offset, size_t length) const {
  if (offset >= file_size_bytes_) return std::string();
  std::string bytes(std::min<uint64_t>(length, file_size_bytes_ - offset), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count =
        pread(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      return Error(common::v1::ERROR_REASON_INTERNAL,
                   fmt::format("the image file cannot be read: {}", std::strerror(errno)));
    }
    if (count == 0) break;  // it shrank since it was opened
    done += static_cast<size_t>(count);
  }
  bytes.resize(done);
  return bytes;
}

absl::StatusOr<std::string> ImageSource::Read(uint64_t offset, size_t length) const {
  CVM_ASSIGN_OR_RETURN(std::string bytes, ReadUpTo(offset, length));
  if (bytes.size() != length) {
    return Error(common::v1::ERROR_REASON_IMAGE_CORRUPT,
                 fmt::format("the image file is truncated: {} bytes are missing at offset {}; "
                             "copy it again",
                             length - bytes.size(), offset));
  }
  return bytes;
}

uint32_t BigEndian32(std::string_view bytes, size_t offset) {
  uint32_t value = 0;
  for (size_t i = 0; i < sizeof(value); ++i) {
    value = (value << 8) | static_cast<unsigned char>(bytes[offset + i]);
  }
  return value;
}

uint64_t BigEndian64(std::string_view bytes, size_t offset) {
  return (uint64_t{BigEndian32(bytes, offset)} << 32) | BigEndian32(bytes, offset + 4);
}

}  // namespace cvm::images
