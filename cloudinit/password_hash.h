// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace cvm::cloudinit {

inline constexpr std::size_t kMaxPasswordBytes = 128;

// Checks that `hash` is a crypt(5) hash and nothing else, so that a clear text can never pass for
// one: $6$ and $5$ (SHA-2), $y$ and $gy$ (yescrypt), $7$ (scrypt), $2a$, $2b$ and $2y$ (bcrypt),
// each with its exact structure and digest length. $1$ (MD5), DES and other weak methods are
// refused. Its characters are those of crypt(5), so it holds no ':', space, quote or control
// character. The InvalidArgument error never quotes the hash.
absl::Status ValidatePasswordHash(std::string_view hash);

// Whether cloud-init before 22.3, and its "password" key to this day, know `hash` as a hash rather
// than as a clear text that merely looks odd: $5$, $6$, $2a$ and $2y$. `hash` has been validated.
bool IsHashKnownToOldCloudInit(std::string_view hash);

// Gives `count` random bytes, from a cryptographic source unless in a test.
using RandomBytes = std::function<std::string(std::size_t count)>;

// The SHA-512 crypt hash ($6$, libcrypt's default rounds) of `password`, which has 1 to
// kMaxPasswordBytes bytes and no NUL. Takes some milliseconds. Errors never quote the password.
absl::StatusOr<std::string> HashPassword(const std::string& password, const RandomBytes& random);

}  // namespace cvm::cloudinit
