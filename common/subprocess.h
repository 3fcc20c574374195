// SPDX-License-Identifier: Apache-2.0
//
// Runs programs without a shell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cvm {

struct CommandResult {
  // The exit code, or 128 plus the signal's number.
  int exit_code = 0;
  std::string out;
  std::string err;
};

struct CommandLimits {
  absl::Duration timeout = absl::Seconds(60);
  // Of each stream; what is beyond is read and dropped.
  size_t max_output_bytes = 1 << 20;
  // CPU seconds and address space (RLIMIT_CPU, RLIMIT_AS), 0 for no limit.
  uint64_t cpu_seconds = 0;
  uint64_t address_space_bytes = 0;
  // "NAME=value", beside PATH (the caller's) and LANG=C.UTF-8, which are all the program gets.
  std::vector<std::string> environment;
  // The largest file that the program may write (RLIMIT_FSIZE), 0 for no limit.
  uint64_t file_size_bytes = 0;
  // Descriptors that the child keeps, under the same numbers, whether or not they are close-on-exec
  // here. All above 2.
  std::vector<int> inherit_fds;
  // Checked while the program runs; when true the program is killed and the call is CANCELLED.
  std::function<bool()> cancelled;
  // Called with each piece of standard output as it comes (for progress).
  std::function<void(std::string_view)> on_output;
};

// Runs argv[0] (searched in PATH) and waits for its end. Standard input is `input`. The child gets
// a process group of its own, dies with the calling process (PR_SET_PDEATHSIG) and inherits no
// descriptor but limits.inherit_fds. On timeout or cancel the whole group is killed and reaped.
// Errors: NotFound (no such program), DeadlineExceeded, Cancelled; COMMAND_FAILED is the caller's
// to make from the exit code. Thread-safe.
absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const CommandLimits& limits = {},
                                         const std::string& input = "");

}  // namespace cvm
