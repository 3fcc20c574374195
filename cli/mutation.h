// SPDX-License-Identifier: Apache-2.0
//
// What all commands that change something have in common.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "cli/command_line.h"
#include "cli/session.h"
#include "cvm/agent/v1/operation.pb.h"

namespace cvm::cli {

struct MutationFlags {
  std::string request_id;
  bool dry_run = false;
  bool wait = false;
};

// --request-id, --dry-run and, unless the command always waits, --wait.
void AddMutationFlags(Command& command, MutationFlags* flags);

// A request id that no other call has: it lets a call be made again after a broken connection.
std::string MakeRequestId();

template <typename Request>
void ApplyMutationFlags(const MutationFlags& flags, Request* request) {
  request->set_request_id(flags.request_id.empty() ? MakeRequestId() : flags.request_id);
  request->set_validate_only(flags.dry_run);
}

// Shows the progress until the operation has ended, and returns it as it then is. When the wait is
// cut short, a note says how to take it up again.
absl::StatusOr<agent::v1::Operation> WaitForOperation(Session& session,
                                                      const std::string& operation_id);

// Prints an operation that has ended, and the error of one that failed; returns its exit code.
int ReportOutcome(Session& session, const agent::v1::Operation& operation);

// The rest of a command after its call: waits if asked to, prints, returns the exit code.
int FinishMutation(Session& session, const MutationFlags& flags,
                   const absl::StatusOr<agent::v1::Operation>& started);

}  // namespace cvm::cli
