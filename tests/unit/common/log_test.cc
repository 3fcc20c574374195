// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <sys/stat.h>

#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
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

// Logs one line of each level and exits, with JOURNAL_STREAM naming `file`. The form of the lines
// is chosen once in a process, so this is a process of its own, by a "threadsafe" death test.
[[noreturn]] void LogAndExit(const char* file) {
  struct stat stream {};
  if (stat(file, &stream) != 0) std::abort();
  setenv("JOURNAL_STREAM", absl::StrCat(stream.st_dev, ":", stream.st_ino).c_str(), 1);
  SetLogLevel(LogLevel::kDebug);
  CVM_LOG_DEBUG("d");
  CVM_LOG_INFO("i");
  CVM_LOG_WARNING("w\n<0>forged");
  CVM_LOG_ERROR("e");
  std::_Exit(0);
}

class LogFormTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(LogFormTest, LinesForTheJournalCarryTheirPriority) {
  EXPECT_EXIT(LogAndExit("/proc/self/fd/2"), testing::ExitedWithCode(0),
              testing::Eq("<7>d\n<6>i\n<4>w\\x0a<0>forged\n<3>e\n"));
}

TEST_F(LogFormTest, LinesForAnotherStreamThanTheJournalsCarryTheTime) {
  EXPECT_EXIT(LogAndExit("/dev/null"), testing::ExitedWithCode(0), HasSubstr("Z INFO i\n"));
}

}  // namespace
}  // namespace cvm
