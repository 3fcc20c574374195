// SPDX-License-Identifier: Apache-2.0
//
// Passwords are hashed here, so that the agent never gets one in clear.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/interrupter.h"
#include "common/ids.h"

namespace cvm::cli {

// SHA-512 crypt ("$6$...") with a fresh salt. InvalidArgument for an empty password, one with a
// NUL, and one longer than crypt(5) takes (511 bytes).
absl::StatusOr<std::string> HashPassword(std::string_view password, Random& random);

// Asks twice at the controlling terminal, without showing what is typed. InvalidArgument when there
// is no terminal or the answers differ, Cancelled after a signal.
absl::StatusOr<std::string> PromptForPasswordHash(Interrupter& interrupter, Random& random);

}  // namespace cvm::cli
