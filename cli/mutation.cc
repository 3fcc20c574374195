// SPDX-License-Identifier: Apache-2.0
#include "cli/mutation.h"

#include <utility>

#include "common/errors.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;

bool Ended(const Operation& operation) {
  return operation.state() == Operation::SUCCESS || operation.state() == Operation::FAILED;
}

}  // namespace

void AddMutationFlags(Command& command, MutationFlags* flags) {
  command.Text("--request-id", &flags->request_id, "ID",
               "Name of this request: the same id and request are run once (made if not given)");
  command.Flag("--dry-run", &flags->dry_run, "Check everything, do nothing");
  command.Flag("--wait", &flags->wait, "Wait for the end and show the progress");
}

std::string MakeRequestId() { return "cvmctl-" + MakeUuid(Random::Secure()); }

absl::StatusOr<Operation> WaitForOperation(Session& session, const std::string& operation_id) {
  CVM_ASSIGN_OR_RETURN(Client* const client, session.client());
  Operation last;
  const absl::Status status = client->WatchOperation(operation_id, [&](const Operation& operation) {
    last = operation;
    session.progress().Update(operation);
    return !Ended(operation);
  });
  session.progress().Clear();
  if (Ended(last)) return last;
  // Nobody needs to be told when it is the operation that is not there.
  if (!absl::IsNotFound(status) && !absl::IsInvalidArgument(status)) {
    session.progress().Note(fmt::format(
        "no longer waiting for {0}, which goes on: 'cvmctl operation wait {0}'", operation_id));
  }
  return status;
}

int ReportOutcome(Session& session, const Operation& operation) {
  const int printed = session.Print(operation, operation.target_id(),
                                    StartedOperationView(operation, session.style()));
  if (operation.state() != Operation::FAILED) return printed;
  session.Fail(FromProto(operation.error()));
  return ExitCodeOf(operation);
}

int FinishMutation(Session& session, const MutationFlags& flags,
                   const absl::StatusOr<Operation>& started) {
  if (!started.ok()) return session.Fail(started.status());
  // A request id that was used before gives its operation, which may have ended.
  if (!flags.wait || started->validate_only() || Ended(*started)) {
    return ReportOutcome(session, *started);
  }
  const auto ended = WaitForOperation(session, started->id());
  if (!ended.ok()) return session.Fail(ended.status());
  return ReportOutcome(session, *ended);
}

}  // namespace cvm::cli
