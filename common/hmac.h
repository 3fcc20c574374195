// SPDX-License-Identifier: Apache-2.0
//
// SHA-256, alone and keyed. A failure of the library itself (no memory) aborts.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace cvm {

// 32 raw bytes.
std::string HmacSha256(std::string_view key, std::string_view data);

// Compares in a time that depends on the sizes only.
bool ConstantTimeEquals(std::string_view left, std::string_view right);

// Takes its data in pieces. Not thread-safe.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Update(std::string_view data);
  // 64 lower-case hexadecimal digits of all that came. Once, as the last call.
  std::string HexDigest();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

std::string Sha256Hex(std::string_view data);

// The digest of a whole regular file, from its start; the descriptor's offset is neither used nor
// moved. `cancelled` is asked between pieces of a MiB: the answer is then Cancelled. Other errors
// are those of reading.
absl::StatusOr<std::string> Sha256OfFd(int fd, const std::function<bool()>& cancelled = {});

}  // namespace cvm
