// SPDX-License-Identifier: Apache-2.0
//
// Runs a tool from a test: no shell, bounded in time.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace cvm::cloudinit::testing {

struct CommandResult {
  bool ran = false;    // false: it could not be started or had to be killed; `output` says why
  int exit_code = -1;  // 128 and the signal when one ended it
  std::string output;  // standard output and standard error together
};

// Runs argv[0] (looked up in PATH) with an empty standard input. It is killed at the deadline.
CommandResult RunCommand(const std::vector<std::string>& argv,
                         std::chrono::seconds deadline = std::chrono::seconds(60));

}  // namespace cvm::cloudinit::testing
