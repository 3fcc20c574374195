// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <string_view>

namespace cvm::cloudinit {

inline constexpr std::size_t kMaxSshKeyBytes = std::size_t{16} * 1024;
inline constexpr std::size_t kMinRsaBits = 1024;  // what sshd itself accepts by default

// Checks one public key as in an OpenSSH ".pub" file: "TYPE BASE64 [COMMENT]", separated by single
// spaces, without a line break at the end.
//   - TYPE is ssh-rsa, ssh-ed25519, ecdsa-sha2-nistp256/384/521, or sk-ssh-ed25519@openssh.com or
//     sk-ecdsa-sha2-nistp256@openssh.com. DSA is refused, and so are options in front of the type
//     (command="...", from="..."): they belong to the guest's owner, not to an injected key.
//   - BASE64 decodes strictly (padding included) and holds exactly the fields of that type, its own
//     type string first; an RSA modulus has at least kMinRsaBits.
//   - COMMENT is single-line UTF-8 text.
//   - At most kMaxSshKeyBytes altogether.
// The InvalidArgument error says what is wrong and does not quote the key.
absl::Status ValidateSshPublicKey(std::string_view line);

}  // namespace cvm::cloudinit
