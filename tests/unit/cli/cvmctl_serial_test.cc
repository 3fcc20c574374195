// SPDX-License-Identifier: Apache-2.0
#include <signal.h>
#include <termios.h>

#include <string>

#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/cli/fixture.h"

namespace cvm::cli {
namespace {

using ::testing::HasSubstr;

constexpr char kId[] = "ins-00000001";

// A guest that says "ready" and then answers what it gets in brackets.
class CvmctlSerialTest : public CvmctlTest {
 protected:
  CvmctlSerialTest() {
    script_.stream_serial = [this](const agent::v1::StreamSerialRequest& first,
                                   const std::function<std::optional<std::string>()>& read,
                                   const std::function<bool(const std::string&)>& write) {
      first_ = first;
      write("ready\r\n");
      while (const auto input = read()) {
        if (*input == "halt\n") return absl::OkStatus();
        write("[" + *input + "]");
      }
      return absl::OkStatus();
    };
  }

  bool Echoes(const Process& process) const {
    termios mode{};
    EXPECT_EQ(tcgetattr(process.terminal_fd(), &mode), 0);
    return (mode.c_lflag & ECHO) != 0 && (mode.c_lflag & ICANON) != 0;
  }

  agent::v1::StreamSerialRequest first_;
};

TEST_F(CvmctlSerialTest, PassesPipedInputAndAllOutput) {
  const auto process = Start({"instance", "serial", kId, "--log", "64K", "--take-over"});
  ASSERT_TRUE(process->WaitForOut("ready\r\n"));
  // Binary, and with the key that leaves on a terminal.
  process->Write(std::string("a\0b\x1d", 4));
  ASSERT_TRUE(process->WaitForOut(std::string("[a\0b\x1d]", 6)));
  process->Write("halt\n");
  EXPECT_EQ(process->Wait(), 0);
  EXPECT_EQ(first_.instance_id(), kId);
  EXPECT_EQ(first_.log_bytes(), 65536u);
  EXPECT_TRUE(first_.take_over());
  EXPECT_EQ(process->err(), "");
}

TEST_F(CvmctlSerialTest, TheEndOfInputIsNotTheEndOfTheSession) {
  const auto process = Start({"instance", "serial", kId, "--duration", "2s"});
  process->Write("uptime\n");
  process->CloseInput();
  ASSERT_TRUE(process->WaitForOut("[uptime\n]"));
  EXPECT_EQ(process->Wait(), 0) << process->err();
}

TEST_F(CvmctlSerialTest, ReadOnlySendsNothing) {
  const auto process = Start({"instance", "serial", kId, "--read-only", "--duration", "1s"});
  process->Write("halt\n");
  EXPECT_EQ(process->Wait(), 0);
  EXPECT_EQ(process->out(), "ready\r\n");
}

TEST_F(CvmctlSerialTest, ATerminalIsRawUntilTheEscape) {
  const auto process = Start({"instance", "serial", kId}, Process::Terminal::kInputAndErrors);
  ASSERT_TRUE(process->WaitForOut("ready\r\n"));
  EXPECT_THAT(process->err(), HasSubstr("leave with Ctrl-]"));
  EXPECT_FALSE(Echoes(*process));
  // Ctrl-C is the guest's.
  process->Write("\x03");
  ASSERT_TRUE(process->WaitForOut("[\x03]"));
  process->Write("x\x1d");
  EXPECT_EQ(process->Wait(), 0);
  EXPECT_TRUE(Echoes(*process));
  EXPECT_THAT(process->err(), HasSubstr("left ins-00000001"));
}

TEST_F(CvmctlSerialTest, ASignalRestoresTheTerminal) {
  for (const int number : {SIGTERM, SIGHUP, SIGABRT}) {
    const auto process = Start({"instance", "serial", kId}, Process::Terminal::kInputAndErrors);
    ASSERT_TRUE(process->WaitForOut("ready\r\n"));
    ASSERT_FALSE(Echoes(*process));
    process->Signal(number);
    EXPECT_EQ(process->Wait(), number == SIGABRT ? 1000 + SIGABRT : 128 + number);
    EXPECT_TRUE(Echoes(*process)) << number;
  }
}

TEST_F(CvmctlSerialTest, ABreakIsReportedAndRestoresTheTerminal) {
  const auto process = Start({"instance", "serial", kId}, Process::Terminal::kInputAndErrors);
  ASSERT_TRUE(process->WaitForOut("ready\r\n"));
  relay_->Cut();
  EXPECT_EQ(process->Wait(), 3);
  EXPECT_TRUE(Echoes(*process));
  EXPECT_THAT(process->err(), HasSubstr("AGENT_UNREACHABLE"));
}

TEST_F(CvmctlSerialTest, ARefusalIsReported) {
  script_.stream_serial = [](const auto&, const auto&, const auto&) {
    return Error(common::v1::ERROR_REASON_OPERATION_IN_PROGRESS, "somebody has it");
  };
  const Outcome outcome = Run({"instance", "serial", kId});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_EQ(outcome.err, "cvmctl: OPERATION_IN_PROGRESS: somebody has it\n");
}

}  // namespace
}  // namespace cvm::cli
