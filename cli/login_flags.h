// SPDX-License-Identifier: Apache-2.0
//
// --ssh-key, --password-hash-file and --password-prompt, for the commands that have them in common.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::cli {

struct LoginFlags {
  std::vector<std::string> ssh_keys;
  std::string password_hash_file;
  bool password_prompt = false;
};

void AddLoginFlags(Command command, LoginFlags* flags);

// Reads the files, and asks for a password: to be called last, so that nobody types one for a
// command line that is wrong. INVALID_ARGUMENT names the flag.
absl::Status ApplyLoginFlags(const LoginFlags& flags, Session& session,
                             agent::v1::LoginSettings* login);

}  // namespace cvm::cli
