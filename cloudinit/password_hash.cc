// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/password_hash.h"

#include <crypt.h>
#include <fmt/format.h>
#include <string.h>  // explicit_bzero

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <memory>
#include <vector>

namespace cvm::cloudinit {
namespace {

bool IsCrypt64(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' ||
         c == '/';
}

bool AllCrypt64(std::string_view text) { return std::all_of(text.begin(), text.end(), IsCrypt64); }

// The fields between the '$' signs, without the empty one in front.
std::vector<std::string_view> Fields(std::string_view hash) {
  std::vector<std::string_view> fields;
  while (!hash.empty() && hash.front() == '$') {
    hash.remove_prefix(1);
    const std::size_t end = std::min(hash.find('$'), hash.size());
    fields.push_back(hash.substr(0, end));
    hash.remove_prefix(end);
  }
  return fields;
}

// "rounds=N" of SHA-2 crypt, within the bounds of crypt(5).
bool IsRounds(std::string_view field) {
  constexpr std::string_view kName = "rounds=";
  if (!field.starts_with(kName)) return false;
  field.remove_prefix(kName.size());
  std::uint32_t rounds = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), rounds);
  return error == std::errc() && end == field.data() + field.size() && field.front() != '0' &&
         rounds >= 1000 && rounds <= 999'999'999;
}

// $5$[rounds=N$]salt$digest
bool IsSha2Crypt(std::vector<std::string_view> fields, std::size_t digest) {
  if (fields.size() == 4 && IsRounds(fields[1])) fields.erase(fields.begin() + 1);
  if (fields.size() != 3) return false;
  const std::string_view salt = fields[1];
  return !salt.empty() && salt.size() <= 16 && AllCrypt64(salt) && fields[2].size() == digest &&
         AllCrypt64(fields[2]);
}

// $y$parameters$salt$digest
bool IsYescrypt(const std::vector<std::string_view>& fields) {
  constexpr std::size_t kDigest = 43;
  return fields.size() == 4 && !fields[1].empty() && fields[1].size() <= 32 &&
         AllCrypt64(fields[1]) && !fields[2].empty() && fields[2].size() <= 86 &&
         AllCrypt64(fields[2]) && fields[3].size() == kDigest && AllCrypt64(fields[3]);
}

// $7$parameters-and-salt$digest: eleven characters of parameters
bool IsScrypt(const std::vector<std::string_view>& fields) {
  constexpr std::size_t kDigest = 43;
  return fields.size() == 3 && fields[1].size() > 11 && fields[1].size() <= 11 + 86 &&
         AllCrypt64(fields[1]) && fields[2].size() == kDigest && AllCrypt64(fields[2]);
}

// $2b$NN$ with 22 characters of salt and 31 of digest in one
bool IsBcrypt(const std::vector<std::string_view>& fields) {
  if (fields.size() != 3 || fields[1].size() != 2 || fields[2].size() != 53) return false;
  const std::string_view cost = fields[1];
  return cost >= "04" && cost <= "31" && cost[1] >= '0' && cost[1] <= '9' && AllCrypt64(fields[2]);
}

bool HasKnownStructure(std::string_view hash) {
  const std::vector<std::string_view> fields = Fields(hash);
  if (fields.empty()) return false;
  const std::string_view method = fields.front();
  if (method == "6") return IsSha2Crypt(fields, 86);
  if (method == "5") return IsSha2Crypt(fields, 43);
  if (method == "y" || method == "gy") return IsYescrypt(fields);
  if (method == "7") return IsScrypt(fields);
  if (method == "2a" || method == "2b" || method == "2y") return IsBcrypt(fields);
  return false;
}

}  // namespace

absl::Status ValidatePasswordHash(std::string_view hash) {
  if (HasKnownStructure(hash)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "password hash is not a crypt(5) hash of a method that is allowed ($6$, $5$, $y$, $gy$, $7$, "
      "$2b$); give a hash, as mkpasswd or 'openssl passwd -6' prints it, never the password");
}

bool IsHashKnownToOldCloudInit(std::string_view hash) {
  constexpr std::array<std::string_view, 4> kKnown = {"$5$", "$6$", "$2a$", "$2y$"};
  return std::any_of(kKnown.begin(), kKnown.end(),
                     [hash](std::string_view prefix) { return hash.starts_with(prefix); });
}

absl::StatusOr<std::string> HashPassword(const std::string& password, const RandomBytes& random) {
  constexpr std::size_t kSaltBytes = 16;
  if (password.empty() || password.size() > kMaxPasswordBytes) {
    return absl::InvalidArgumentError(
        fmt::format("password must have 1 to {} bytes", kMaxPasswordBytes));
  }
  if (password.find('\0') != std::string::npos) {
    return absl::InvalidArgumentError("password holds a NUL byte");
  }
  const std::string salt = random(kSaltBytes);
  if (salt.size() != kSaltBytes) {
    return absl::InternalError("random source gave the wrong number of bytes");
  }
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> setting{};
  if (crypt_gensalt_rn("$6$", 0, salt.data(), static_cast<int>(salt.size()), setting.data(),
                       static_cast<int>(setting.size())) == nullptr) {
    return absl::InternalError("libcrypt made no salt for $6$");
  }
  const auto data = std::make_unique<crypt_data>();  // 32 KiB: not on the stack
  const char* hashed =
      crypt_rn(password.c_str(), setting.data(), data.get(), static_cast<int>(sizeof(crypt_data)));
  absl::StatusOr<std::string> result = absl::InternalError("libcrypt made no $6$ hash");
  if (hashed != nullptr) result = std::string(hashed);
  explicit_bzero(data.get(), sizeof(crypt_data));  // it holds the password
  if (result.ok()) {
    if (absl::Status status = ValidatePasswordHash(*result); !status.ok()) {
      return absl::InternalError("libcrypt made a hash of an unexpected form");
    }
  }
  return result;
}

}  // namespace cvm::cloudinit
