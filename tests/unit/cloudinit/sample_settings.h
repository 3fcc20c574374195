// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cloudinit/guest_settings.h"

namespace cvm::cloudinit::testing {

// Public keys made for tests; nobody has the private halves.
extern const char* const kEd25519Key;
extern const char* const kRsaKey;
extern const char* const kEcdsaKey;

// Hashes of "test" by each method.
extern const char* const kSha512Hash;
extern const char* const kYescryptHash;

// The least that is valid: no NIC, no key, no password.
GuestSettings MinimalSettings();

// Something in every field: two NICs, IPv4 and IPv6, keys, a password, user data.
GuestSettings FullSettings();

}  // namespace cvm::cloudinit::testing
