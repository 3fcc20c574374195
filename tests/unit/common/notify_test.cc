// SPDX-License-Identifier: Apache-2.0
#include "common/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>

#include "common/file.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

// A socket such as systemd's, named in the environment.
class NotifyTest : public testing::Test {
 protected:
  NotifyTest() : socket_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    const std::string path = folder_.File("notify");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof(address.sun_path) - 1);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  ~NotifyTest() override {
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
  }
  // Sending has put the datagram there before it returned.
  std::string Received() {
    std::string data(4096, '\0');
    const ssize_t got = recv(socket_.get(), data.data(), data.size(), 0);
    return got < 0 ? "(nothing)" : data.substr(0, static_cast<size_t>(got));
  }

  const TemporaryFolder folder_;
  UniqueFd socket_;
};

TEST_F(NotifyTest, SendsEachState) {
  EXPECT_TRUE(NotifyReady("3 instances").ok());
  EXPECT_EQ(Received(), "READY=1\nSTATUS=3 instances");
  EXPECT_TRUE(NotifyStopping("ends").ok());
  EXPECT_EQ(Received(), "STOPPING=1\nSTATUS=ends");
  EXPECT_TRUE(NotifyStatus("busy").ok());
  EXPECT_EQ(Received(), "STATUS=busy");
  EXPECT_TRUE(NotifyWatchdog().ok());
  EXPECT_EQ(Received(), "WATCHDOG=1");
  EXPECT_EQ(Received(), "(nothing)");
}

TEST_F(NotifyTest, AStatusCannotForgeAState) {
  EXPECT_TRUE(NotifyStatus("x\nREADY=1").ok());
  EXPECT_EQ(Received(), "STATUS=x\\x0aREADY=1");
}

TEST_F(NotifyTest, WithoutASocketNothingIsSent) {
  unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(NotifyReady("x").ok());
  EXPECT_EQ(Received(), "(nothing)");
}

TEST_F(NotifyTest, ReportsThatNobodyListens) {
  socket_.Reset();
  EXPECT_FALSE(NotifyReady("x").ok());
}

TEST_F(NotifyTest, KnowsTheWatchdogsInterval) {
  EXPECT_FALSE(WatchdogInterval().has_value());
  setenv("WATCHDOG_USEC", "1500000", 1);
  EXPECT_EQ(WatchdogInterval(), absl::Milliseconds(1500));
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(WatchdogInterval(), absl::Milliseconds(1500));
  // Meant for another process, which we inherited it from.
  setenv("WATCHDOG_PID", std::to_string(getppid()).c_str(), 1);
  EXPECT_FALSE(WatchdogInterval().has_value());
  unsetenv("WATCHDOG_PID");
  setenv("WATCHDOG_USEC", "nonsense", 1);
  EXPECT_FALSE(WatchdogInterval().has_value());
}

}  // namespace
}  // namespace cvm
