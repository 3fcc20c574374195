// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/ssh_key.h"

#include <absl/strings/escaping.h>
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "common/utf8.h"

namespace cvm::cloudinit {
namespace {

enum class Family { kRsa, kEd25519, kEcdsa };

struct KeyType {
  std::string_view name;
  Family family;
  std::string_view curve;       // of ECDSA
  std::size_t point_bytes = 0;  // of ECDSA: an uncompressed point
  bool security_key = false;    // an "application" string follows
};

constexpr std::array<KeyType, 7> kKeyTypes = {{
    {"ssh-rsa", Family::kRsa, "", 0, false},
    {"ssh-ed25519", Family::kEd25519, "", 0, false},
    {"ecdsa-sha2-nistp256", Family::kEcdsa, "nistp256", 65, false},
    {"ecdsa-sha2-nistp384", Family::kEcdsa, "nistp384", 97, false},
    {"ecdsa-sha2-nistp521", Family::kEcdsa, "nistp521", 133, false},
    {"sk-ssh-ed25519@openssh.com", Family::kEd25519, "", 0, true},
    {"sk-ecdsa-sha2-nistp256@openssh.com", Family::kEcdsa, "nistp256", 65, true},
}};

absl::Status Refuse(std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("SSH public key {}", why));
}

std::optional<KeyType> FindType(std::string_view name) {
  for (const KeyType& type : kKeyTypes) {
    if (type.name == name) return type;
  }
  return std::nullopt;
}

// Takes a length-prefixed string (RFC 4251, section 5) from the front of `blob`.
std::optional<std::string_view> TakeString(std::string_view& blob) {
  constexpr std::size_t kPrefix = 4;
  if (blob.size() < kPrefix) return std::nullopt;
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < kPrefix; ++i) {
    length = (length << 8U) | static_cast<std::uint8_t>(blob[i]);
  }
  blob.remove_prefix(kPrefix);
  if (length > blob.size()) return std::nullopt;
  const std::string_view out = blob.substr(0, length);
  blob.remove_prefix(length);
  return out;
}

// The bits of a positive mpint; nothing when it is zero, negative or not in its shortest form.
std::optional<std::size_t> PositiveBits(std::string_view mpint) {
  if (mpint.empty() || (static_cast<std::uint8_t>(mpint[0]) & 0x80U) != 0) return std::nullopt;
  if (mpint[0] == 0) {
    mpint.remove_prefix(1);
    if (mpint.empty() || (static_cast<std::uint8_t>(mpint[0]) & 0x80U) == 0) return std::nullopt;
  }
  std::size_t bits = mpint.size() * 8;
  for (std::uint32_t probe = 0x80; (static_cast<std::uint8_t>(mpint[0]) & probe) == 0;
       probe >>= 1U) {
    --bits;
  }
  return bits;
}

absl::Status CheckRsa(std::string_view& blob) {
  const auto exponent = TakeString(blob);
  const auto modulus = TakeString(blob);
  if (!exponent || !modulus || !PositiveBits(*exponent)) return Refuse("has a malformed RSA key");
  const auto bits = PositiveBits(*modulus);
  if (!bits) return Refuse("has a malformed RSA key");
  if (*bits < kMinRsaBits) {
    return Refuse(fmt::format("is RSA of {} bits; at least {} are needed", *bits, kMinRsaBits));
  }
  return absl::OkStatus();
}

absl::Status CheckEd25519(std::string_view& blob) {
  const auto point = TakeString(blob);
  if (!point || point->size() != 32) return Refuse("has a malformed Ed25519 key");
  return absl::OkStatus();
}

absl::Status CheckEcdsa(const KeyType& type, std::string_view& blob) {
  const auto curve = TakeString(blob);
  const auto point = TakeString(blob);
  const bool good = curve && point && *curve == type.curve && point->size() == type.point_bytes &&
                    point->front() == 4;  // uncompressed
  return good ? absl::OkStatus() : Refuse("has a malformed ECDSA key");
}

absl::Status CheckBlob(const KeyType& type, std::string_view blob) {
  const auto inner = TakeString(blob);
  if (!inner) return Refuse("holds truncated data");
  if (*inner != type.name) return Refuse("says one type and its data another");
  absl::Status status = type.family == Family::kRsa       ? CheckRsa(blob)
                        : type.family == Family::kEd25519 ? CheckEd25519(blob)
                                                          : CheckEcdsa(type, blob);
  if (!status.ok()) return status;
  if (type.security_key && !TakeString(blob)) return Refuse("lacks its application");
  if (!blob.empty()) return Refuse("has data after its end");
  return absl::OkStatus();
}

// The text up to the next space, which is taken off `line` together with the space.
std::string_view TakeWord(std::string_view& line) {
  const std::size_t space = line.find(' ');
  const std::string_view word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

}  // namespace

absl::Status ValidateSshPublicKey(std::string_view line) {
  if (line.empty()) return Refuse("is empty");
  if (line.size() > kMaxSshKeyBytes) {
    return Refuse(
        fmt::format("has {} bytes; at most {} are allowed", line.size(), kMaxSshKeyBytes));
  }
  if (!IsSingleLineText(line)) {
    return Refuse("holds a line break, another control character, or bytes that are not UTF-8");
  }
  const std::optional<KeyType> type = FindType(TakeWord(line));
  if (!type)
    return Refuse("does not begin with a supported type (ssh-ed25519, ssh-rsa, ecdsa-...)");
  const std::string encoded(TakeWord(line));
  std::string blob;
  // The decoder is lenient (it skips white space and takes missing padding); encoding again shows
  // whether the text was exact.
  if (encoded.empty() || !absl::Base64Unescape(encoded, &blob) ||
      absl::Base64Escape(blob) != encoded) {
    return Refuse("has data that is not base64");
  }
  return CheckBlob(*type, blob);
}

}  // namespace cvm::cloudinit
