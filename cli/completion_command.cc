// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/completions.h"
#include "cli/session.h"
#include "fmt/format.h"

namespace cvm::cli {

void AddCompletionCommand(Command root) {
  const auto shell = std::make_shared<std::string>();
  Command command = root.Sub("completion", "Print a completion script: bash, zsh or fish");
  command.Argument("SHELL", shell.get(), "bash, zsh or fish");
  command.Run([shell](Session& session) {
    if (*shell == "bash") return session.Print(kBashCompletion);
    if (*shell == "zsh") return session.Print(kZshCompletion);
    if (*shell == "fish") return session.Print(kFishCompletion);
    return session.Fail(absl::InvalidArgumentError(
        fmt::format("'{}' is no shell: one of bash, zsh, fish", *shell)));
  });
}

}  // namespace cvm::cli
