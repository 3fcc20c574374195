// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/mutation.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "cli/views.h"
#include "common/clock.h"

namespace cvm::cli {
namespace {

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

}  // namespace

void AddHostCommands(Command root) {
  Command group = root.Sub("host", "The host itself");
  AddGet(group);
  AddMaintenance(group);
  AddStopGuests(group);
}

}  // namespace cvm::cli
