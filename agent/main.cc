// SPDX-License-Identifier: Apache-2.0
//
// cvm-agentd: the daemon of one hypervisor host.
#include <getopt.h>

#include <cstdio>
#include <string>

#include "agent/app.h"
#include "agent/config.h"
#include "agent/version.h"
#include "fmt/format.h"

namespace {

constexpr char kUsage[] =
    "usage: cvm-agentd [--config FILE] [--check-config] [--version] [--help]\n"
    "  --config FILE    default: /etc/cvm/agent.toml\n"
    "  --check-config   read the configuration, say what is wrong with it, and end\n";

// Exit codes: 0 well, 1 could not start, 2 wrong usage or configuration.
constexpr int kStartFailed = 1;
constexpr int kUsageError = 2;

}  // namespace

int main(int argc, char** argv) {
  std::string config_path = "/etc/cvm/agent.toml";
  bool check_only = false;
  const option options[] = {{"config", required_argument, nullptr, 'c'},
                            {"check-config", no_argument, nullptr, 'k'},
                            {"version", no_argument, nullptr, 'v'},
                            {"help", no_argument, nullptr, 'h'},
                            {nullptr, 0, nullptr, 0}};
  for (int option = 0; (option = getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    switch (option) {
      case 'c':
        config_path = optarg;
        break;
      case 'k':
        check_only = true;
        break;
      case 'v':
        fmt::print("cvm-agentd {}\n", cvm::agent::kVersion);
        return 0;
      case 'h':
        fmt::print("{}", kUsage);
        return 0;
      default:
        fmt::print(stderr, "{}", kUsage);
        return kUsageError;
    }
  }
  if (optind != argc) {
    fmt::print(stderr, "{}", kUsage);
    return kUsageError;
  }

  const absl::StatusOr<cvm::agent::Config> config = cvm::agent::LoadConfig(config_path);
  if (!config.ok()) {
    fmt::print(stderr, "{}\n", std::string(config.status().message()));
    return kUsageError;
  }
  if (check_only) {
    fmt::print("{}: no errors\n", config_path);
    return 0;
  }
  const absl::Status status = cvm::agent::RunAgent(*config);
  if (!status.ok()) {
    fmt::print(stderr, "cvm-agentd: {}\n", std::string(status.message()));
    return kStartFailed;
  }
  return 0;
}
