// SPDX-License-Identifier: Apache-2.0
#include "drivers/images/foreign_image.h"

#include <limits>
#include <string>
#include <string_view>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/images/image_magic.h"
#include "drivers/images/image_source.h"
#include "drivers/images/qcow2_header.h"
#include "fmt/format.h"

namespace cvm::images {
namespace {

absl::Status TooLarge(std::string_view what, uint64_t found, uint64_t limit) {
  return Error(common::v1::ERROR_REASON_IMAGE_TOO_LARGE,
               fmt::format("the image's {} is {} bytes, above the limit of {}", what, found, limit),
               {{"limit", std::to_string(limit)}});
}

absl::Status Mismatch(std::string_view stated, std::string_view found) {
  return Error(common::v1::ERROR_REASON_IMAGE_FORMAT_MISMATCH,
               fmt::format("the image was said to be {} but looks like {}; state its real format, "
                           "unpack or convert it",
                           stated, found));
}

// A qcow2 file holds its data, its tables and what was freed and not reused. One far larger than
// that costs qemu-img memory and time by its size alone, though a sparse file costs its maker
// nothing.
uint64_t MaxQcow2FileBytes(uint64_t max_virtual_size_bytes) {
  constexpr uint64_t kSlack = uint64_t{1} << 30;
  if (max_virtual_size_bytes > std::numeric_limits<uint64_t>::max() / 2 - kSlack) {
    return std::numeric_limits<uint64_t>::max();
  }
  return max_virtual_size_bytes * 2 + kSlack;
}

absl::StatusOr<ImageInfo> InspectQcow2(const ImageSource& source, uint64_t max_bytes) {
  CVM_ASSIGN_OR_RETURN(const Qcow2Header header, ReadForeignQcow2Header(source, max_bytes));
  const uint64_t max_file_bytes = MaxQcow2FileBytes(max_bytes);
  if (source.file_size_bytes() > max_file_bytes) {
    return TooLarge("file", source.file_size_bytes(), max_file_bytes);
  }
  return ImageInfo{header.virtual_size_bytes, source.stored_size_bytes()};
}

absl::StatusOr<ImageInfo> InspectRaw(const ImageSource& source, uint64_t max_bytes) {
  const uint64_t size = source.file_size_bytes();
  if (size == 0) return Error(common::v1::ERROR_REASON_IMAGE_CORRUPT, "the image file is empty");
  if (size % 512 != 0) {
    return Error(common::v1::ERROR_REASON_IMAGE_CORRUPT,
                 fmt::format("the raw image's size of {} bytes is not whole sectors of 512: it is "
                             "truncated or no disk",
                             size));
  }
  if (size > max_bytes) return TooLarge("size", size, max_bytes);
  return ImageInfo{size, source.stored_size_bytes()};
}

}  // namespace

absl::StatusOr<ImageInfo> InspectForeignImage(int fd, Format format,
                                              uint64_t max_virtual_size_bytes) {
  CVM_ASSIGN_OR_RETURN(const ImageSource source, ImageSource::Open(fd));
  CVM_ASSIGN_OR_RETURN(const std::string_view found, RecognizeFormat(source));
  switch (format) {
    case Format::kQcow2:
      if (found != "qcow2") return Mismatch("qcow2", found.empty() ? "a raw disk" : found);
      return InspectQcow2(source, max_virtual_size_bytes);
    case Format::kRaw:
      if (!found.empty()) return Mismatch("raw", found);
      return InspectRaw(source, max_virtual_size_bytes);
  }
  return Error(common::v1::ERROR_REASON_INTERNAL, "an image format without a check");
}

}  // namespace cvm::images
