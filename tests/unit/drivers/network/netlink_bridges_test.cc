// SPDX-License-Identifier: Apache-2.0
//
// On real interfaces, in a network namespace that goes with the test's process.
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "common/errors.h"
#include "common/file.h"
#include "common/subprocess.h"
#include "drivers/network/bridges.h"
#include "gtest/gtest.h"

namespace cvm::network {
namespace {

class NetlinkBridgesTest : public testing::Test {
 protected:
  // Each test in a fresh, empty namespace; the host's interfaces are out of reach.
  void SetUp() override {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno) << " (root is needed)";
  }

  void Ip(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "ip");
    const absl::StatusOr<CommandResult> result = RunCommand(arguments);
    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->exit_code, 0) << result->err;
  }
  bool Exists(const std::string& name) {
    const absl::StatusOr<CommandResult> result = RunCommand({"ip", "link", "show", "dev", name});
    return result.ok() && result->exit_code == 0;
  }
  void ExpectNotRemoved(const std::string& name) {
    ASSERT_TRUE(Exists(name));
    const absl::Status status = bridges_->RemoveTap(name);
    EXPECT_EQ(ReasonOf(status), common::v1::ERROR_REASON_HYPERVISOR_ERROR) << status;
    EXPECT_TRUE(Exists(name));
  }

  std::unique_ptr<Bridges> bridges_ = MakeNetlinkBridges();
};

TEST_F(NetlinkBridgesTest, BridgeThatIsUp) {
  Ip({"link", "add", "br0", "type", "bridge"});
  EXPECT_FALSE(bridges_->IsUp("br0").value());
  Ip({"link", "set", "br0", "up"});
  EXPECT_TRUE(bridges_->IsUp("br0").value()) << "it has no port and no carrier yet, but is up";
  Ip({"link", "set", "br0", "down"});
  EXPECT_FALSE(bridges_->IsUp("br0").value());
  Ip({"link", "del", "br0"});
  EXPECT_FALSE(bridges_->IsUp("br0").value());
}

TEST_F(NetlinkBridgesTest, OnlyABridgeCounts) {
  Ip({"link", "add", "veth0", "type", "veth", "peer", "name", "veth1"});
  Ip({"link", "set", "veth0", "up"});
  Ip({"link", "set", "lo", "up"});
  EXPECT_FALSE(bridges_->IsUp("veth0").value());
  EXPECT_FALSE(bridges_->IsUp("lo").value());
}

TEST_F(NetlinkBridgesTest, NamesThatCannotBe) {
  for (const std::string& name :
       {std::string(), std::string("a-name-too-long"), std::string("a-name-too-long-for-it"),
        std::string("a/b"), std::string("br0\0x", 5), std::string("\xff\xfe")}) {
    const absl::StatusOr<bool> up = bridges_->IsUp(name);
    ASSERT_TRUE(up.ok()) << up.status();
    EXPECT_FALSE(*up);
    EXPECT_TRUE(bridges_->RemoveTap(name).ok());
  }
}

TEST_F(NetlinkBridgesTest, RemovesATap) {
  Ip({"tuntap", "add", "dev", "tap0", "mode", "tap"});
  Ip({"tuntap", "add", "dev", "tap1", "mode", "tap"});
  ASSERT_TRUE(Exists("tap0"));
  const absl::Status status = bridges_->RemoveTap("tap0");
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_FALSE(Exists("tap0"));
  EXPECT_TRUE(Exists("tap1"));
  EXPECT_TRUE(bridges_->RemoveTap("tap0").ok()) << "gone already";
}

TEST_F(NetlinkBridgesTest, ListsTheTapsThatNobodyHolds) {
  Ip({"link", "add", "cvmbr0", "type", "bridge"});
  Ip({"tuntap", "add", "dev", "cvmtun0", "mode", "tun"});
  Ip({"tuntap", "add", "dev", "cvmtap1", "mode", "tap"});
  Ip({"tuntap", "add", "dev", "cvmtap0", "mode", "tap"});
  Ip({"tuntap", "add", "dev", "tap0", "mode", "tap"});
  Ip({"link", "set", "cvmtap1", "master", "cvmbr0", "up"});
  auto taps = bridges_->ListIdleTaps("cvm");
  ASSERT_TRUE(taps.ok()) << taps.status();
  EXPECT_EQ(*taps, (std::vector<std::string>{"cvmtap0", "cvmtap1"}));

  // As QEMU does.
  const UniqueFd held(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(held);
  ifreq request = {};
  std::strncpy(request.ifr_name, "cvmtap1", IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  ASSERT_EQ(ioctl(held.get(), TUNSETIFF, &request), 0) << std::strerror(errno);
  taps = bridges_->ListIdleTaps("cvm");
  ASSERT_TRUE(taps.ok()) << taps.status();
  EXPECT_EQ(*taps, std::vector<std::string>{"cvmtap0"});
}

TEST_F(NetlinkBridgesTest, RemovesATapThatIsAPort) {
  Ip({"link", "add", "br0", "type", "bridge"});
  Ip({"tuntap", "add", "dev", "tap0", "mode", "tap"});
  Ip({"link", "set", "tap0", "master", "br0", "up"});
  ASSERT_TRUE(bridges_->RemoveTap("tap0").ok());
  EXPECT_FALSE(Exists("tap0"));
  EXPECT_TRUE(Exists("br0"));
}

TEST_F(NetlinkBridgesTest, RemovesNothingButTaps) {
  Ip({"link", "add", "br0", "type", "bridge"});
  Ip({"link", "add", "veth0", "type", "veth", "peer", "name", "veth1"});
  Ip({"tuntap", "add", "dev", "tun0", "mode", "tun"});
  for (const char* name : {"br0", "veth0", "tun0", "lo"}) {
    SCOPED_TRACE(name);
    ExpectNotRemoved(name);
  }
}

TEST_F(NetlinkBridgesTest, ManyThreadsAtOnce) {
  Ip({"link", "add", "br0", "type", "bridge"});
  Ip({"link", "set", "br0", "up"});
  Ip({"tuntap", "add", "dev", "tap0", "mode", "tap"});
  // Threads inherit the namespace of the one that starts them.
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([this] {
      for (int j = 0; j < 20; ++j) {
        EXPECT_TRUE(bridges_->IsUp("br0").value());
        EXPECT_TRUE(bridges_->RemoveTap("tap0").ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(Exists("tap0"));
}

}  // namespace
}  // namespace cvm::network
