// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "cli/completions.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::cli {
namespace {

using ::testing::HasSubstr;

std::string ManPage() {
  std::stringstream text;
  text << std::ifstream(CVM_MAN_PAGE).rdbuf();
  return text.str();
}

// Whether `word` is in `text` with no letter or dash beside it.
bool HasWord(const std::string& text, const std::string& word) {
  return std::regex_search(text, std::regex("(^|[^A-Za-z-])" + word + "($|[^A-Za-z-])"));
}

Invocation Parse(CommandLine& line, const std::vector<std::string>& arguments,
                 std::string* out = nullptr, std::string* err = nullptr) {
  std::ostringstream out_stream;
  std::ostringstream err_stream;
  Invocation invocation = line.Parse(arguments, out_stream, err_stream);
  if (out != nullptr) *out = out_stream.str();
  if (err != nullptr) *err = err_stream.str();
  return invocation;
}

TEST(CommandLine, HasTheCommandsThatArePromised) {
  std::set<std::string> commands;
  for (const auto& [path, flags] : CommandLine().LongFlags()) commands.insert(path);
  for (const char* path :
       {"image import",    "image list",          "image get",        "image delete",
        "instance create", "instance list",       "instance get",     "instance start",
        "instance stop",   "instance reboot",     "instance delete",  "instance watch",
        "instance serial", "instance screenshot", "operation list",   "operation get",
        "operation wait",  "operation cancel",    "operation watch",  "host get",
        "completion",      "instance update",     "instance restore", "instance resize",
        "instance adopt",  "host check",          "host events"}) {
    EXPECT_TRUE(commands.contains(path)) << path;
  }
}

TEST(CommandLine, TheManPageHasEachFlagAndCommand) {
  const std::string page = ManPage();
  ASSERT_FALSE(page.empty());
  size_t flags_seen = 0;
  for (const auto& [path, flags] : CommandLine().LongFlags()) {
    for (const std::string& flag : flags) {
      EXPECT_THAT(page, HasSubstr("*" + flag + "*")) << flag << " of '" << path << "'";
      ++flags_seen;
    }
    if (path.find(' ') != std::string::npos) {
      EXPECT_THAT(page, HasSubstr("*" + path + "*"));
    }
  }
  EXPECT_GT(flags_seen, 40u);
}

TEST(CommandLine, EachMutatingCommandHasTheirFlags) {
  for (const auto& [path, flags] : CommandLine().LongFlags()) {
    static const std::set<std::string> kMutating = {
        "image import",    "image delete",     "instance create", "instance start",
        "instance stop",   "instance reboot",  "instance delete", "operation cancel",
        "instance update", "instance restore", "instance resize", "instance adopt",
        "host check"};
    if (!kMutating.contains(path)) continue;
    EXPECT_THAT(flags, ::testing::IsSupersetOf({"--request-id", "--dry-run", "--wait"})) << path;
  }
}

TEST(CommandLine, TheCompletionsHaveEachFlagAndCommand) {
  for (const auto& [path, flags] : CommandLine().LongFlags()) {
    const std::string command = path.substr(path.rfind(' ') + 1);
    for (const std::string_view script : {kBashCompletion, kZshCompletion, kFishCompletion}) {
      const std::string text(script);
      if (!command.empty()) {
        EXPECT_TRUE(HasWord(text, command)) << path;
      }
      for (const std::string& flag : flags) {
        // fish writes a long flag without its dashes.
        const bool found = HasWord(text, flag) || HasWord(text, "-l " + flag.substr(2));
        EXPECT_TRUE(found) << flag << " of '" << path << "' in:\n" << text.substr(0, 120);
      }
    }
  }
}

TEST(CommandLine, TakesGlobalFlagsBehindTheCommand) {
  CommandLine line;
  const Invocation invocation =
      Parse(line, {"instance", "list", "-o", "json", "--socket", "/tmp/s", "--timeout=5s", "-q"});
  EXPECT_TRUE(invocation.run);
  EXPECT_EQ(line.options().output, "json");
  EXPECT_EQ(line.options().socket, "/tmp/s");
  EXPECT_EQ(line.options().timeout, "5s");
  EXPECT_TRUE(line.options().quiet);
}

TEST(CommandLine, RepeatedFlagsDoNotSwallowWhatFollows) {
  CommandLine line;
  EXPECT_TRUE(Parse(line, {"instance", "create", "--image", "img-1", "--memory", "1G", "--nic",
                           "network=a", "--nic", "network=b", "--tag", "a=b"})
                  .run);
  CommandLine other;
  std::string err;
  EXPECT_FALSE(Parse(other,
                     {"instance", "create", "--image", "img-1", "--memory", "1G", "--nic",
                      "network=a", "network=b"},
                     nullptr, &err)
                   .run);
  EXPECT_THAT(err, HasSubstr("network=b"));
}

TEST(CommandLine, WrongUseIsExitCodeTwoAndNamesTheHelp) {
  const std::vector<std::vector<std::string>> cases = {
      {},
      {"instance"},
      {"instances", "list"},
      {"instance", "list", "extra"},
      {"instance", "get"},
      {"instance", "get", "ins-00000001", "list"},
      {"instance", "create", "--memory", "1G"},
      {"instance", "create", "--image", "img-1", "--memory", "1G", "--vcpus", "-1"},
      {"instance", "create", "--image", "img-1", "--memory", "1G", "--vcpus", "two"},
      {"--bogus", "host", "get"}};
  for (const auto& arguments : cases) {
    CommandLine line;
    std::string err;
    const Invocation invocation = Parse(line, arguments, nullptr, &err);
    EXPECT_FALSE(invocation.run) << ::testing::PrintToString(arguments);
    EXPECT_EQ(invocation.exit_code, kExitUsage);
    EXPECT_THAT(err, ::testing::StartsWith("cvmctl: USAGE: "));
    EXPECT_THAT(err, HasSubstr("--help'"));
  }
}

TEST(CommandLine, WrongUseIsJsonWhenJsonWasAskedFor) {
  CommandLine line;
  std::string err;
  EXPECT_FALSE(Parse(line, {"-o", "json", "instance", "get"}, nullptr, &err).run);
  EXPECT_THAT(err, ::testing::StartsWith("{\"error\":"));
}

TEST(CommandLine, HelpAndVersionAreNotErrors) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--help"}, {"instance", "create", "--help"}, {"--version"}}) {
    CommandLine line;
    std::string out;
    std::string err;
    const Invocation invocation = Parse(line, arguments, &out, &err);
    EXPECT_FALSE(invocation.run);
    EXPECT_EQ(invocation.exit_code, kExitOk);
    EXPECT_FALSE(out.empty());
    EXPECT_EQ(err, "");
  }
  CommandLine line;
  std::string out;
  Parse(line, {"--version"}, &out);
  EXPECT_THAT(out, ::testing::MatchesRegex("cvmctl [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace cvm::cli
