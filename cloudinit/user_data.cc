// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/user_data.h"

#include <fmt/format.h>

namespace cvm::cloudinit {

bool IsGzip(std::string_view bytes) {
  constexpr std::string_view kMagicAndDeflate("\x1f\x8b\x08", 3);
  return bytes.substr(0, kMagicAndDeflate.size()) == kMagicAndDeflate;
}

absl::Status ValidateUserData(std::string_view bytes) {
  if (bytes.size() > kMaxUserDataBytes) {
    return absl::InvalidArgumentError(
        fmt::format("user data has {} bytes; at most {} are allowed (before encoding)",
                    bytes.size(), kMaxUserDataBytes));
  }
  if (!IsGzip(bytes) && bytes.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        "user data holds a NUL byte but is not gzip; give text, or gzip it");
  }
  return absl::OkStatus();
}

}  // namespace cvm::cloudinit
