// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/png.h"

#include <png.h>

#include <cctype>
#include <optional>

#include "common/errors.h"
#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

absl::Status Malformed(std::string_view problem) {
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
               fmt::format("The hypervisor's screen dump {}.", problem));
}

absl::Status CheckSize(uint32_t width, uint32_t height) {
  if (width != 0 && height != 0 && width <= kMaxScreenSide && height <= kMaxScreenSide) {
    return absl::OkStatus();
  }
  return Malformed(
      fmt::format("is of {}x{} pixels, beyond 1 to {}", width, height, kMaxScreenSide));
}

// Takes a decimal number, after white space and comments, off the front of `*rest`.
std::optional<uint32_t> TakeNumber(std::string_view* rest) {
  while (!rest->empty()) {
    if (rest->front() == '#') {
      const size_t end = rest->find('\n');
      if (end == std::string_view::npos) return std::nullopt;
      rest->remove_prefix(end);
    } else if (std::isspace(static_cast<unsigned char>(rest->front())) != 0) {
      rest->remove_prefix(1);
    } else {
      break;
    }
  }
  uint32_t number = 0;
  size_t digits = 0;
  while (!rest->empty() && rest->front() >= '0' && rest->front() <= '9' && digits < 6) {
    number = number * 10 + static_cast<uint32_t>(rest->front() - '0');
    rest->remove_prefix(1);
    ++digits;
  }
  if (digits == 0) return std::nullopt;
  return number;
}

}  // namespace

absl::StatusOr<Screenshot> PpmToPng(std::string_view ppm) {
  if (!ppm.starts_with("P6")) return Malformed("is not a binary PPM");
  std::string_view rest = ppm.substr(2);
  const std::optional<uint32_t> width = TakeNumber(&rest);
  const std::optional<uint32_t> height = TakeNumber(&rest);
  const std::optional<uint32_t> depth = TakeNumber(&rest);
  if (!width || !height || depth != 255u || rest.empty())
    return Malformed("has a malformed header");
  if (const absl::Status size = CheckSize(*width, *height); !size.ok()) return size;
  rest.remove_prefix(1);
  const size_t expected = size_t{*width} * *height * 3;
  if (rest.size() != expected) {
    return Malformed(fmt::format("has {} bytes of pixels, not {}", rest.size(), expected));
  }

  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  image.width = *width;
  image.height = *height;
  image.format = PNG_FORMAT_RGB;
  Screenshot result;
  result.width = *width;
  result.height = *height;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  result.png.resize(size);
  if (png_image_write_to_memory(&image, result.png.data(), &size, 0, rest.data(), 0, nullptr) ==
      0) {
    return Malformed(fmt::format("could not be compressed: {}", image.message));
  }
  result.png.resize(size);
  result.png.shrink_to_fit();
  return result;
}

absl::StatusOr<Screenshot> ScreenshotFromDump(std::string dump) {
  if (!dump.starts_with("\x89PNG")) return PpmToPng(dump);
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  // Reads the header only.
  if (png_image_begin_read_from_memory(&image, dump.data(), dump.size()) == 0) {
    return Malformed(fmt::format("is a malformed PNG: {}", image.message));
  }
  const uint32_t width = image.width;
  const uint32_t height = image.height;
  png_image_free(&image);
  if (const absl::Status size = CheckSize(width, height); !size.ok()) return size;
  return Screenshot{.png = std::move(dump), .width = width, .height = height};
}

}  // namespace cvm::hypervisor
