// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <string_view>

namespace cvm::cloudinit {

// Before any encoding: what the guest gets.
inline constexpr std::size_t kMaxUserDataBytes = std::size_t{16} * 1024;

// Whether the bytes begin as a gzip stream does; cloud-init unpacks such user data.
bool IsGzip(std::string_view bytes);

// Checks the raw (decoded) bytes of user data: at most kMaxUserDataBytes; NUL bytes only in gzip,
// for a text with NUL bytes is something else that was taken for text (UTF-16, an encoding error).
// Otherwise any bytes: a script need not be UTF-8. Empty is valid. The InvalidArgument error does
// not quote the data.
absl::Status ValidateUserData(std::string_view bytes);

}  // namespace cvm::cloudinit
