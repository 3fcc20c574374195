// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/listing.h"
#include "cli/mutation.h"
#include "cli/session.h"
#include "cli/views.h"
#include "common/errors.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;

void AddList(Command group) {
  struct Arguments {
    std::string target;
    bool unfinished = false;
    uint32_t limit = 100;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("list", "List the operations, newest first");
  command.Text("--target", &arguments->target, "ID", "Only those on this instance or image");
  command.Flag("--unfinished", &arguments->unfinished, "Only those that have not ended");
  command.Number("--limit", &arguments->limit, "At most this many, 0 for all");
  command.Run([arguments](Session& session) {
    agent::v1::ListOperationsRequest request;
    request.set_target_id(arguments->target);
    request.set_unfinished_only(arguments->unfinished);
    return List<agent::v1::ListOperationsRequest, agent::v1::ListOperationsResponse, Operation>(
        session, request, &Client::ListOperations,
        &agent::v1::ListOperationsResponse::mutable_operations, arguments->limit,
        [&](const auto& list) { return OperationsView(list, session.style()); });
  });
}

void AddGet(Command group) {
  const auto id = std::make_shared<std::string>();
  Command command = group.Sub("get", "Show an operation");
  command.Argument("OPERATION", id.get(), "Its id (op-...)");
  command.Run([id](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::GetOperationRequest request;
    request.set_operation_id(*id);
    const auto operation = (*client)->GetOperation(request);
    if (!operation.ok()) return session.Fail(operation.status());
    return session.Print(*operation, operation->id(), OperationView(*operation, session.style()));
  });
}

void AddWait(Command group) {
  const auto id = std::make_shared<std::string>();
  Command command = group.Sub("wait", "Wait for the end of an operation; exits by its outcome");
  command.Argument("OPERATION", id.get(), "Its id (op-...)");
  command.Run([id](Session& session) {
    const auto operation = WaitForOperation(session, *id);
    return operation.ok() ? ReportOutcome(session, *operation) : session.Fail(operation.status());
  });
}

void AddWatch(Command group) {
  const auto id = std::make_shared<std::string>();
  Command command = group.Sub("watch", "Show each step of an operation; exits by its outcome");
  command.Argument("OPERATION", id.get(), "Its id (op-...)");
  command.Run([id](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    Operation last;
    int code = kExitOk;
    const absl::Status status = (*client)->WatchOperation(*id, [&](const Operation& operation) {
      last = operation;
      code = session.PrintEvent(operation, operation.id(), OperationLine(operation));
      return code == kExitOk && operation.state() == Operation::OPERATING;
    });
    if (!status.ok()) return session.Fail(status);
    if (code != kExitOk || last.state() != Operation::FAILED) return code;
    session.Fail(FromProto(last.error()));
    return ExitCodeOf(last);
  });
}

void AddCancel(Command group) {
  struct Arguments {
    std::string id;
    MutationFlags flags;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("cancel", "Ask an operation to stop and be undone");
  command.Argument("OPERATION", &arguments->id, "Its id (op-...)");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::CancelOperationRequest request;
    request.set_operation_id(arguments->id);
    ApplyMutationFlags(arguments->flags, &request);
    const auto asked = (*client)->CancelOperation(request);
    if (!asked.ok()) return session.Fail(asked.status());
    if (!arguments->flags.wait || arguments->flags.dry_run) {
      return session.Print(*asked, asked->id(), OperationView(*asked, session.style()));
    }
    const auto ended = WaitForOperation(session, arguments->id);
    if (!ended.ok()) return session.Fail(ended.status());
    // What was asked for is that it be cancelled.
    const bool cancelled =
        ReasonOf(FromProto(ended->error())) == common::v1::ERROR_REASON_OPERATION_CANCELLED;
    if (!cancelled) return ReportOutcome(session, *ended);
    return session.Print(*ended, ended->id(), OperationView(*ended, session.style()));
  });
}

}  // namespace

void AddOperationCommands(Command root) {
  Command group = root.Sub("operation", "Work that is under way or has ended");
  AddList(group);
  AddGet(group);
  AddWait(group);
  AddWatch(group);
  AddCancel(group);
}

}  // namespace cvm::cli
