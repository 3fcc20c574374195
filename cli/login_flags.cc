// SPDX-License-Identifier: Apache-2.0
#include "cli/login_flags.h"

#include "cli/instance_spec.h"
#include "cli/parse.h"
#include "cli/password.h"
#include "common/ids.h"
#include "common/status_macros.h"

namespace cvm::cli {
namespace {

absl::Status ApplyKeys(const std::vector<std::string>& keys, agent::v1::LoginSettings* login) {
  for (const std::string& text : keys) {
    if (IsPublicKey(text)) {
      login->add_ssh_public_keys(text);
      continue;
    }
    const auto content = ReadUsersFile(text);
    if (!content.ok()) return About("--ssh-key", content.status());
    const auto lines = ParseKeyLines(*content);
    if (!lines.ok()) return About("--ssh-key " + text, lines.status());
    for (const std::string& key : *lines) login->add_ssh_public_keys(key);
  }
  return absl::OkStatus();
}

}  // namespace

void AddLoginFlags(Command command, LoginFlags* flags) {
  command.Texts("--ssh-key", &flags->ssh_keys, "FILE|KEY", "Public key, or a file of them");
  command.Text("--password-hash-file", &flags->password_hash_file, "FILE",
               "File with a password hash in crypt form");
  command.Flag("--password-prompt", &flags->password_prompt,
               "Ask for a password, of which the agent gets the hash");
}

absl::Status ApplyLoginFlags(const LoginFlags& flags, Session& session,
                             agent::v1::LoginSettings* login) {
  CVM_RETURN_IF_ERROR(ApplyKeys(flags.ssh_keys, login));
  if (flags.password_prompt) {
    if (!flags.password_hash_file.empty()) {
      return absl::InvalidArgumentError(
          "--password-prompt and --password-hash-file exclude each other");
    }
    CVM_ASSIGN_OR_RETURN(*login->mutable_password_hash(),
                         PromptForPasswordHash(session.interrupter(), Random::Secure()));
  } else if (!flags.password_hash_file.empty()) {
    const auto content = ReadUsersFile(flags.password_hash_file);
    if (!content.ok()) return About("--password-hash-file", content.status());
    const auto hash = ParsePasswordHash(*content);
    if (!hash.ok()) return About("--password-hash-file", hash.status());
    login->set_password_hash(*hash);
  }
  return absl::OkStatus();
}

}  // namespace cvm::cli
