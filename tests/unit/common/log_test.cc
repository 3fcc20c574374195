// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <filesystem>
#include <thread>
#include <vector>

#include "common/subprocess.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm {
namespace {

using std::string_view_literals::operator""sv;
using testing::HasSubstr;
using testing::MatchesRegex;

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { SetLogLevel(LogLevel::kInfo); }
};

TEST_F(LogTest, WritesOneLineWithTimeAndLevel) {
  testing::internal::CaptureStderr();
  CVM_LOG_WARNING("instance {} took {} ms", "ins-1", 5);
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z "
                           "WARNING instance ins-1 took 5 ms\n"));
}

TEST_F(LogTest, EscapesWhatCouldForgeALine) {
  testing::internal::CaptureStderr();
  CVM_LOG_ERROR("name '{}' {{}} %v", "x\n2026-01-01 INFO forged\r\x1b[2J\0\xff"sv);
  EXPECT_THAT(
      testing::internal::GetCapturedStderr(),
      HasSubstr("ERROR name 'x\\x0a2026-01-01 INFO forged\\x0d\\x1b[2J\\x00\\xff' {} %v\n"));
}

TEST_F(LogTest, HoldsBackWhatIsBelowItsLevel) {
  testing::internal::CaptureStderr();
  bool evaluated = false;
  const auto text = [&evaluated] {
    evaluated = true;
    return "hidden";
  };
  CVM_LOG_DEBUG("{}", text());
  LogLine(LogLevel::kDebug, "hidden");
  EXPECT_FALSE(evaluated);
  EXPECT_TRUE(LogEnabled(LogLevel::kInfo));
  SetLogLevel(LogLevel::kError);
  EXPECT_FALSE(LogEnabled(LogLevel::kWarning));
  CVM_LOG_WARNING("hidden");
  SetLogLevel(LogLevel::kDebug);
  CVM_LOG_DEBUG("seen");
  const std::string output = testing::internal::GetCapturedStderr();
  EXPECT_THAT(output, testing::Not(HasSubstr("hidden")));
  EXPECT_THAT(output, HasSubstr("DEBUG seen\n"));
}

TEST_F(LogTest, LinesOfThreadsDoNotMix) {
  testing::internal::CaptureStderr();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([] {
        for (int j = 0; j < 20; ++j) CVM_LOG_INFO("{}", std::string(100, 'x'));
      });
    }
  }
  const std::string output = testing::internal::GetCapturedStderr();
  size_t lines = 0;
  for (size_t at = 0; at < output.size(); ++lines) {
    const size_t end = output.find('\n', at);
    ASSERT_NE(end, std::string::npos);
    EXPECT_THAT(output.substr(at, end - at), MatchesRegex("[^ ]+ INFO x{100}"));
    at = end + 1;
  }
  EXPECT_EQ(lines, 80u);
}

// Run in a process of its own by the tests below, since the form is chosen once.
TEST(LogChild, DISABLED_LogsOneLineOfEachLevel) {
  SetLogLevel(LogLevel::kDebug);
  CVM_LOG_DEBUG("d");
  CVM_LOG_INFO("i");
  CVM_LOG_WARNING("w\n<0>forged");
  CVM_LOG_ERROR("e");
}

std::string StandardErrorOfChild(const std::string& journal_stream) {
  const std::string script = "export JOURNAL_STREAM=\"" + journal_stream +
                             "\"; exec \"$0\" --gtest_also_run_disabled_tests "
                             "--gtest_filter=LogChild.DISABLED_LogsOneLineOfEachLevel";
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const auto result = RunCommand({"/bin/sh", "-c", script, self});
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return "";
  EXPECT_EQ(result->exit_code, 0) << result->out << result->err;
  return result->err;
}

TEST(LogToJournal, LinesCarryTheirPriority) {
  EXPECT_EQ(StandardErrorOfChild("$(stat -L -c %d:%i /proc/$$/fd/2)"),
            "<7>d\n<6>i\n<4>w\\x0a<0>forged\n<3>e\n");
}

TEST(LogToJournal, AnotherStreamThanTheJournalsGetsTimeStamps) {
  EXPECT_THAT(StandardErrorOfChild("$(stat -L -c %d:%i /dev/null)"), HasSubstr("Z INFO i\n"));
}

}  // namespace
}  // namespace cvm
