// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"
#include "cli/session.h"
#include "cli/views.h"

namespace cvm::cli {

void AddHostCommands(Command root) {
  Command group = root.Sub("host", "The host itself");
  group.Sub("get", "Show the host, its hypervisor and its capacity").Run([](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    const auto host = (*client)->GetHost(agent::v1::GetHostRequest());
    if (!host.ok()) return session.Fail(host.status());
    return session.Print(*host, host->host_name(), HostView(*host, session.style()));
  });
}

}  // namespace cvm::cli
