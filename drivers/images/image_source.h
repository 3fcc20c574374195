// SPDX-License-Identifier: Apache-2.0
//
// Bounded reads from an image file of unknown content.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cvm::images {

// The descriptor is borrowed. Not thread-safe by itself, but it never moves the file's offset.
class ImageSource {
 public:
  // IMAGE_UNSAFE for anything but a regular file.
  static absl::StatusOr<ImageSource> Open(int fd);

  uint64_t file_size_bytes() const { return file_size_bytes_; }
  uint64_t stored_size_bytes() const { return stored_size_bytes_; }

  // True when [offset, offset + length) lies within the file; safe for any values.
  bool Contains(uint64_t offset, uint64_t length) const {
    return offset <= file_size_bytes_ && length <= file_size_bytes_ - offset;
  }

  // Exactly `length` bytes. IMAGE_CORRUPT when the file ends before.
  absl::StatusOr<std::string> Read(uint64_t offset, size_t length) const;

  // As many of `length` bytes as the file has there.
  absl::StatusOr<std::string> ReadUpTo(uint64_t offset, size_t length) const;

 private:
  ImageSource(int fd, uint64_t file_size_bytes, uint64_t stored_size_bytes)
      : fd_(fd), file_size_bytes_(file_size_bytes), stored_size_bytes_(stored_size_bytes) {}

  int fd_;
  uint64_t file_size_bytes_;
  uint64_t stored_size_bytes_;
};

// A big-endian number at `offset`, which must lie within `bytes`.
uint32_t BigEndian32(std::string_view bytes, size_t offset);
uint64_t BigEndian64(std::string_view bytes, size_t offset);

}  // namespace cvm::images
