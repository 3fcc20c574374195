// SPDX-License-Identifier: Apache-2.0
//
// Identifiers: a prefix and eight of [a-z0-9] ("ins-1a2b3c4d").
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace cvm {

inline constexpr std::string_view kInstancePrefix = "ins";
inline constexpr std::string_view kImagePrefix = "img";
inline constexpr std::string_view kDiskPrefix = "disk";
inline constexpr std::string_view kNicPrefix = "eni";
inline constexpr std::string_view kOperationPrefix = "op";

// Randomness, injected. Thread-safe.
class Random {
 public:
  virtual ~Random() = default;
  virtual void Fill(void* data, size_t size) = 0;

  // The kernel's; aborts when the kernel gives none, which it does not after boot.
  static Random& Secure();
};

// The same sequence for the same seed: for tests only.
std::unique_ptr<Random> MakeSeededRandom(uint64_t seed);

std::string MakeId(std::string_view prefix, Random& random);
// RFC 4122 version 4, lower case.
std::string MakeUuid(Random& random);
// 52:54:00:xx:xx:xx.
std::string MakeMac(Random& random);

bool IsId(std::string_view prefix, std::string_view text);
// MALFORMED_ID with the field's name, or MISSING_FIELD when `text` is empty.
absl::Status CheckId(std::string_view field, std::string_view prefix, std::string_view text);

// 1 to 64 printable ASCII characters (0x20 to 0x7e): INVALID_FIELD otherwise.
absl::Status CheckRequestId(std::string_view text);

}  // namespace cvm
