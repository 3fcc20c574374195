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
#include "cli/watching.h"
#include "common/clock.h"
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

void AddMaintenance(Command group) {
  struct Arguments {
    std::string state;
    std::string reason;
    MutationFlags flags;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("maintenance", "Turn maintenance on or off: in it no guest comes up");
  command.Argument("STATE", &arguments->state, "on or off");
  command.Text("--reason", &arguments->reason, "TEXT", "Why, for whoever is refused");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    if (arguments->state != "on" && arguments->state != "off") {
      return session.Fail(absl::InvalidArgumentError("write on or off"));
    }
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::SetMaintenanceRequest request;
    request.set_on(arguments->state == "on");
    request.set_reason(arguments->reason);
    ApplyMutationFlags(arguments->flags, &request);
    return FinishMutation(session, arguments->flags, (*client)->SetMaintenance(request));
  });
}

void AddStopGuests(Command group) {
  struct Arguments {
    std::string budget;
    MutationFlags flags;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("stop-guests", "Turn off all guests, for the shutdown of the host");
  command.Text("--budget", &arguments->budget, "DURATION",
               "How long all together have to shut down (default: the agent's)");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    agent::v1::StopGuestsRequest request;
    if (!arguments->budget.empty()) {
      const auto budget = ParseDuration(arguments->budget);
      if (!budget.ok()) return session.Fail(About("--budget", budget.status()));
      *request.mutable_budget() = ToProtoDuration(*budget);
    }
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    ApplyMutationFlags(arguments->flags, &request);
    return FinishMutation(session, arguments->flags, (*client)->StopGuests(request));
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
  const auto duration = std::make_shared<std::string>();
  Command command =
      group.Sub("events", "Show what happened on the host and what happens, till Ctrl-C");
  command.Text("--duration", duration.get(), "DURATION", "End after this long");
  command.Run([duration](Session& session) {
    return Watch<agent::v1::HostEvent>(
        session, *duration, &Client::WatchEvents, [&session](const agent::v1::HostEvent& event) {
          return session.PrintEvent(event, event.instance_id(),
                                    HostEventLine(event, session.style()));
        });
  });
}

}  // namespace

void AddHostCommands(Command root) {
  Command group = root.Sub("host", "The host itself");
  AddGet(group);
  AddMaintenance(group);
  AddStopGuests(group);
  AddCheck(group);
  AddEvents(group);
}

}  // namespace cvm::cli
