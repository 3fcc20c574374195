// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/guest_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "cloudinit/host_name.h"
#include "cloudinit/password_hash.h"
#include "cloudinit/ssh_key.h"
#include "cloudinit/user_data.h"
#include "common/utf8.h"

namespace cvm::cloudinit {
namespace {

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Whether every character is an ASCII letter, a digit or one of `also`.
bool OnlyHolds(std::string_view text, std::string_view also) {
  return std::all_of(text.begin(), text.end(), [also](char c) {
    return IsAlphanumeric(c) || also.find(c) != std::string_view::npos;
  });
}

// cloud-init makes a folder of this name, so it must not be a path.
absl::Status CheckInstanceId(std::string_view id) {
  if (id.empty() || id.size() > kMaxInstanceIdLength || !OnlyHolds(id, "._-") ||
      !IsAlphanumeric(id.front())) {
    return absl::InvalidArgumentError(
        fmt::format("instance_id must be 1 to {} of letters, digits, '.', '_', '-', beginning with "
                    "a letter or digit",
                    kMaxInstanceIdLength));
  }
  return absl::OkStatus();
}

absl::Status CheckUuid(std::string_view uuid) {
  constexpr std::string_view kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  bool good = uuid.size() == kShape.size();
  for (std::size_t i = 0; good && i < kShape.size(); ++i) {
    const char c = uuid[i];
    const bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    good = kShape[i] == '-' ? c == '-' : hex;
  }
  return good ? absl::OkStatus()
              : absl::InvalidArgumentError("uuid must be lower-case hexadecimal in the form " +
                                           std::string(kShape));
}

absl::Status CheckDisplayName(std::string_view name) {
  if (name.size() > kMaxDisplayNameBytes || !IsSingleLineText(name)) {
    return absl::InvalidArgumentError(
        fmt::format("display_name must be UTF-8 text of one line, at most {} bytes, without "
                    "control characters",
                    kMaxDisplayNameBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckLoginUser(std::string_view user) {
  if (user.empty()) return absl::OkStatus();
  const bool good =
      user.size() <= kMaxLoginUserLength && OnlyHolds(user, "._-") &&
      (IsAlphanumeric(user.front()) || user.front() == '_') &&
      !std::all_of(user.begin(), user.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("login_user must be 1 to {} of letters, digits, '.', '_', '-', beginning with a "
                  "letter, digit or '_', and not only digits",
                  kMaxLoginUserLength));
}

absl::Status CheckPassword(const GuestSettings& settings) {
  if (!settings.password_hash.has_value()) return absl::OkStatus();
  if (absl::Status status = ValidatePasswordHash(*settings.password_hash); !status.ok()) {
    return status;
  }
  if (settings.login_user.empty() && !IsHashKnownToOldCloudInit(*settings.password_hash)) {
    return absl::InvalidArgumentError(
        "password hash of this method needs login_user to be named: cloud-init would take it for a "
        "clear text when it sets the password of the image's default user; name the user, or give "
        "a "
        "$6$ hash");
  }
  return absl::OkStatus();
}

absl::Status CheckSshKeys(const std::vector<std::string>& keys) {
  if (keys.size() > kMaxSshKeys) {
    return absl::InvalidArgumentError(fmt::format(
        "there are {} ssh_public_keys; at most {} are allowed", keys.size(), kMaxSshKeys));
  }
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (absl::Status status = ValidateSshPublicKey(keys[i]); !status.ok()) {
      return absl::InvalidArgumentError(
          fmt::format("ssh_public_keys[{}]: {}", i, std::string(status.message())));
    }
    if (!seen.insert(keys[i]).second) {
      return absl::InvalidArgumentError(
          fmt::format("ssh_public_keys[{}] is given more than once", i));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateGuestSettings(const GuestSettings& settings) {
  if (absl::Status status = CheckInstanceId(settings.instance_id); !status.ok()) return status;
  if (absl::Status status = CheckUuid(settings.uuid); !status.ok()) return status;
  if (absl::Status status = ValidateHostName(settings.host_name, GuestOs::kLinux); !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckDisplayName(settings.display_name); !status.ok()) return status;
  if (absl::Status status = CheckSshKeys(settings.ssh_public_keys); !status.ok()) return status;
  if (absl::Status status = CheckLoginUser(settings.login_user); !status.ok()) return status;
  if (absl::Status status = CheckPassword(settings); !status.ok()) return status;
  if (absl::Status status = ValidateNetworkSettings(settings); !status.ok()) return status;
  return ValidateUserData(settings.user_data);
}

}  // namespace cvm::cloudinit
