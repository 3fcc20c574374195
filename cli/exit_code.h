// SPDX-License-Identifier: Apache-2.0
//
// The exit codes of cvmctl; the man page promises them.
#pragma once

#include "absl/status/status.h"
#include "cvm/agent/v1/operation.pb.h"

namespace cvm::cli {

enum ExitCode : int {
  kExitOk = 0,
  // The operation failed, or was refused because of a state or for want of resources.
  kExitFailed = 1,
  // The user's: bad flags, a malformed request, an object that is not there.
  kExitUsage = 2,
  // The agent cannot be reached or does not answer in time.
  kExitUnreachable = 3,
  // A fault of the agent or of cvmctl.
  kExitInternal = 4,
  // Plus the number of the signal that ended cvmctl.
  kExitSignal = 128,
};

// Of a call that the agent, or cvmctl itself, refused.
int ExitCodeOf(const absl::Status& status);

// Of an operation that has ended: whatever made it fail, it is kExitFailed.
int ExitCodeOf(const agent::v1::Operation& operation);

}  // namespace cvm::cli
