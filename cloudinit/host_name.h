// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <string_view>

namespace cvm::cloudinit {

enum class GuestOs { kLinux, kWindows };

inline constexpr std::size_t kMinHostName = 2;
inline constexpr std::size_t kMaxLinuxHostName = 60;
inline constexpr std::size_t kMaxWindowsHostName = 15;  // a NetBIOS name

// The longest host name of `os`, in characters.
std::size_t MaxHostNameLength(GuestOs os);

// Checks a guest's host name. Where the rules of the specification (F063-F067) differ between calls
// the strictest safe one holds:
//   - ASCII letters, digits, '-' and, on Linux, '.' between segments;
//   - '-' and '.' neither first nor last, nor doubled, nor next to each other (".-" and "-.");
//   - at least one letter ("not all digits", read strictly: cloud-init takes a name that looks like
//     an IPv4 address for one);
//   - from 2 up to `max_length` characters. Callers that follow a stricter limit (31 characters in
//     one of the documents) pass it; one above MaxHostNameLength(os) has no effect.
// The InvalidArgument error quotes the rule, never the name.
absl::Status ValidateHostName(std::string_view name, GuestOs os, std::size_t max_length);
absl::Status ValidateHostName(std::string_view name, GuestOs os);

}  // namespace cvm::cloudinit
