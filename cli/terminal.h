// SPDX-License-Identifier: Apache-2.0
//
// The terminal that cvmctl runs in.
#pragma once

#include <memory>

#include "absl/status/statusor.h"

namespace cvm::cli {

// Columns of the terminal on `fd`, 80 when it does not say.
int TerminalWidth(int fd);

// Holds a changed terminal mode and restores the former one when destroyed, and also when the
// process ends by exit() or by a fault. One at a time.
class TerminalMode {
 public:
  // Every key goes to the program as it is typed, Ctrl-C too. The terminal must be `fd`.
  static absl::StatusOr<std::unique_ptr<TerminalMode>> Raw(int fd);
  // What is typed is not shown.
  static absl::StatusOr<std::unique_ptr<TerminalMode>> NoEcho(int fd);
  ~TerminalMode();
  TerminalMode(const TerminalMode&) = delete;
  TerminalMode& operator=(const TerminalMode&) = delete;

 private:
  TerminalMode() = default;
};

// Puts the mode back that a living TerminalMode has changed. Async-signal-safe.
void RestoreTerminalNow();

}  // namespace cvm::cli
