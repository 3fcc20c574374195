// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/host_name.h"

#include <fmt/format.h>

#include <algorithm>

namespace cvm::cloudinit {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

bool IsSeparator(char c) { return c == '-' || c == '.'; }

absl::Status CheckCharacters(std::string_view name, GuestOs os) {
  const bool dots = os == GuestOs::kLinux;
  const bool good = std::all_of(name.begin(), name.end(), [dots](char c) {
    return IsDigit(c) || IsLetter(c) || c == '-' || (dots && c == '.');
  });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      dots ? "host name may hold only letters, digits, '-' and '.'"
           : "host name of a Windows guest may hold only letters, digits and '-'");
}

absl::Status CheckSeparators(std::string_view name) {
  if (IsSeparator(name.front()) || IsSeparator(name.back())) {
    return absl::InvalidArgumentError("host name may neither begin nor end with '-' or '.'");
  }
  const auto adjacent = std::adjacent_find(
      name.begin(), name.end(), [](char a, char b) { return IsSeparator(a) && IsSeparator(b); });
  if (adjacent != name.end()) {
    return absl::InvalidArgumentError("host name may not hold two of '-' and '.' side by side");
  }
  return absl::OkStatus();
}

}  // namespace

std::size_t MaxHostNameLength(GuestOs os) {
  return os == GuestOs::kWindows ? kMaxWindowsHostName : kMaxLinuxHostName;
}

absl::Status ValidateHostName(std::string_view name, GuestOs os, std::size_t max_length) {
  const std::size_t limit = std::min(max_length, MaxHostNameLength(os));
  if (name.size() < kMinHostName || name.size() > limit) {
    return absl::InvalidArgumentError(fmt::format(
        "host name has {} characters; {} to {} are allowed", name.size(), kMinHostName, limit));
  }
  if (absl::Status status = CheckCharacters(name, os); !status.ok()) return status;
  if (absl::Status status = CheckSeparators(name); !status.ok()) return status;
  const bool only_digits =
      std::all_of(name.begin(), name.end(), [](char c) { return IsDigit(c) || IsSeparator(c); });
  if (only_digits) return absl::InvalidArgumentError("host name needs at least one letter");
  return absl::OkStatus();
}

absl::Status ValidateHostName(std::string_view name, GuestOs os) {
  return ValidateHostName(name, os, MaxHostNameLength(os));
}

}  // namespace cvm::cloudinit
