// SPDX-License-Identifier: Apache-2.0
#include <signal.h>

#include <iostream>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/interrupter.h"
#include "cli/session.h"

int main(int argc, char** argv) {
  using namespace cvm::cli;  // NOLINT(google-build-using-namespace): the program itself.
  // A reader that went away shows as a failed write, so that what has to be undone is undone.
  signal(SIGPIPE, SIG_IGN);
  CommandLine command_line;
  const Invocation invocation = command_line.Parse({argv + 1, argv + argc}, std::cout, std::cerr);
  if (!invocation.run) return invocation.exit_code;
  Interrupter interrupter;
  Session session(command_line.options(), interrupter, std::cout, std::cerr);
  if (const absl::Status status = session.SetUp(); !status.ok()) return session.Fail(status);
  return invocation.run(session);
}
