// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/mutation.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "cli/views.h"
#include "common/errors.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

using agent::v1::Finding;

void AddGet(Command group) {
  group.Sub("get", "Show the host, its hypervisor and its capacity").Run([](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    const auto host = (*client)->GetHost(agent::v1::GetHostRequest());
    if (!host.ok()) return session.Fail(host.status());
    return session.Print(*host, host->host_name(), HostView(*host, session.style()));
  });
}

// "orphaned-image" for ORPHANED_IMAGE.
absl::StatusOr<Finding::Kind> ParseKind(std::string word) {
  std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::toupper(c));
  });
  Finding::Kind kind = Finding::KIND_UNSPECIFIED;
  if (Finding::Kind_Parse(word, &kind) && kind != Finding::KIND_UNSPECIFIED) return kind;
  return InvalidField("--kind", "is no kind of finding, such as orphaned-image");
}

void AddCheck(Command group) {
  struct Arguments {
    bool repair = false;
    std::vector<std::string> kinds;
    MutationFlags flags;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("check", "Compare the host with the agent's records");
  command.Flag("--repair", &arguments->repair,
               "Remove what nobody owns, define lost domains again");
  command.Texts("--kind", &arguments->kinds, "KIND",
                "With --repair: only this kind, for example orphaned-image");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    if (!arguments->repair) {
      const auto found = (*client)->CheckHost(agent::v1::CheckHostRequest());
      if (!found.ok()) return session.Fail(found.status());
      std::string ids;
      for (const Finding& finding : found->findings()) {
        ids += (ids.empty() ? "" : "\n") + finding.object();
      }
      return session.Print(*found, ids, FindingsView(*found, session.style()));
    }
    agent::v1::RepairHostRequest request;
    for (const std::string& word : arguments->kinds) {
      const auto kind = ParseKind(word);
      if (!kind.ok()) return session.Fail(kind.status());
      request.add_kinds(*kind);
    }
    ApplyMutationFlags(arguments->flags, &request);
    return FinishMutation(session, arguments->flags, (*client)->RepairHost(request));
  });
}

void AddEvents(Command group) {
  const auto duration_text = std::make_shared<std::string>();
  Command command =
      group.Sub("events", "Show what happened on the host and what happens, till Ctrl-C");
  command.Text("--duration", duration_text.get(), "DURATION", "End after this long");
  command.Run([duration_text](Session& session) {
    absl::Time end = absl::InfiniteFuture();
    if (!duration_text->empty()) {
      const auto duration = ParseDuration(*duration_text);
      if (!duration.ok()) return session.Fail(About("--duration", duration.status()));
      session.LimitTo(*duration);
      end = absl::Now() + *duration;
    }
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    int code = kExitOk;
    const absl::Status status = (*client)->WatchEvents([&](const agent::v1::HostEvent& event) {
      code = session.PrintEvent(event, event.instance_id(), HostEventLine(event, session.style()));
      return code == kExitOk;
    });
    if (status.ok()) return code;
    // As long as was asked for. The deadline on the wire is rounded up to milliseconds.
    if (absl::IsDeadlineExceeded(status) && absl::Now() + absl::Milliseconds(5) >= end) {
      return static_cast<int>(kExitOk);
    }
    return session.Fail(status);
  });
}

}  // namespace

void AddHostCommands(Command root) {
  Command group = root.Sub("host", "The host itself");
  AddGet(group);
  AddCheck(group);
  AddEvents(group);
}

}  // namespace cvm::cli
