// SPDX-License-Identifier: Apache-2.0
//
// os.conf as guests' scripts read it: sourced by a shell, the password's line by grep.
#include <gtest/gtest.h>

#include <string>

#include "cloudinit/documents.h"
#include "tests/unit/cloudinit/run_command.h"
#include "tests/unit/cloudinit/sample_settings.h"
#include "tests/unit/cloudinit/temporary_directory.h"

namespace cvm::cloudinit {
namespace {

using testing::CommandResult;
using testing::FullSettings;
using testing::MinimalSettings;

// What `script` prints when `shell` runs it in a folder that holds os.conf.
std::string InShell(const std::string& shell, const GuestSettings& settings,
                    const std::string& script) {
  const testing::TemporaryDirectory folder;
  testing::WriteFile(folder.path() / "os.conf", OsConf(settings));
  const CommandResult result =
      testing::RunCommand({shell, "-c", "cd \"$0\" || exit 1; " + script, folder.path()});
  EXPECT_TRUE(result.ran) << result.output;
  EXPECT_EQ(result.exit_code, 0) << result.output;
  return result.output;
}

TEST(OsConf, NamesTheFirstNicAndTheNameServers) {
  GuestSettings settings = FullSettings();
  settings.password_hash = "$6$salt$digest";
  EXPECT_EQ(OsConf(settings),
            "hostname=web1\n"
            "password=$6$salt$digest\n"
            "eth0_ip_addr=192.168.122.10\n"
            "eth0_mac_addr=52:54:00:AA:BB:01\n"
            "eth0_netmask=255.255.255.0\n"
            "eth0_gateway=192.168.122.1\n"
            "dns_nameserver=\"192.168.122.1 2001:0db8::53\"\n");
}

TEST(OsConf, LeavesOutWhatThereIsNot) {
  GuestSettings settings = MinimalSettings();
  EXPECT_EQ(OsConf(settings), "hostname=web1\n");
  // By DHCP.
  settings.nics = {{.id = "eni-aaaa0001", .mac = "52:54:00:aa:bb:01"}};
  EXPECT_EQ(OsConf(settings), "hostname=web1\neth0_mac_addr=52:54:00:AA:BB:01\n");
  settings.nics[0].addresses = {{"fd00::10", 64}};
  EXPECT_EQ(OsConf(settings), "hostname=web1\neth0_mac_addr=52:54:00:AA:BB:01\n");
}

TEST(OsConf, IsReadByShellsAsItIsMeant) {
  for (const char* shell : {"dash", "bash"}) {
    for (const char* hash : {testing::kSha512Hash, testing::kYescryptHash}) {
      GuestSettings settings = FullSettings();
      settings.password_hash = hash;
      ASSERT_TRUE(ValidateGuestSettings(settings).ok());
      EXPECT_EQ(InShell(shell, settings,
                        ". ./os.conf && for server in $dns_nameserver; do echo \"$server\"; done &&"
                        " echo \"$hostname $eth0_ip_addr $eth0_netmask $eth0_gateway\""),
                "192.168.122.1\n2001:0db8::53\n"
                "web1 192.168.122.10 255.255.255.0 192.168.122.1\n");
      EXPECT_EQ(InShell(shell, settings,
                        "line=$(grep password os.conf) && printf %s \"root:${line#*=}\""),
                std::string("root:") + hash);
    }
  }
}

TEST(OsConf, RunsNothingWhenItIsSourced) {
  GuestSettings settings = FullSettings();
  for (const char* hostile : {"$(touch ran)", "`touch ran`", "a;touch ran", "a touch ran", "'"}) {
    settings.host_name = hostile;
    EXPECT_FALSE(ValidateGuestSettings(settings).ok()) << hostile;
    settings.host_name = "web1";
    settings.password_hash = hostile;
    EXPECT_FALSE(ValidateGuestSettings(settings).ok()) << hostile;
    settings.password_hash = testing::kSha512Hash;
  }
  for (const char* shell : {"dash", "bash"}) {
    EXPECT_EQ(InShell(shell, settings, "PATH=/nowhere; set -e; . ./os.conf; echo *"), "os.conf\n");
  }
}

}  // namespace
}  // namespace cvm::cloudinit
