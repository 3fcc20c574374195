// SPDX-License-Identifier: Apache-2.0
#include "common/toml_config.h"

#include <unistd.h>

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TomlFile Parsed(std::string_view text) {
  absl::StatusOr<TomlFile> file = TomlFile::Parse(text, "agent.toml");
  EXPECT_TRUE(file.ok()) << file.status();
  return *std::move(file);
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(TomlConfig, ReadsEveryType) {
  TomlFile file = Parsed(R"(
name = "host \u00e9"
enabled = true
count = 5
ratio = 1.5
whole_ratio = 2
timeout = "1h30m"
words = ["a", "b"]
none = []
)");
  TomlTable root = file.Root();
  std::string name;
  bool enabled = false;
  int64_t count = 0;
  double ratio = 0;
  double whole_ratio = 0;
  absl::Duration timeout;
  std::vector<std::string> words;
  std::vector<std::string> none = {"default"};
  root.GetString("name", &name);
  root.GetBool("enabled", &enabled);
  root.GetInt("count", 0, 5, &count);
  root.GetDouble("ratio", 0, 2, &ratio);
  root.GetDouble("whole_ratio", 0, 2, &whole_ratio);
  root.GetDuration("timeout", absl::ZeroDuration(), absl::Hours(2), &timeout);
  root.GetStrings("words", &words);
  root.GetStrings("none", &none);
  EXPECT_TRUE(file.Finish().ok()) << file.Finish();
  EXPECT_EQ(name, "host \u00e9");
  EXPECT_TRUE(enabled);
  EXPECT_EQ(count, 5);
  EXPECT_EQ(ratio, 1.5);
  EXPECT_EQ(whole_ratio, 2.0);
  EXPECT_EQ(timeout, absl::Minutes(90));
  EXPECT_THAT(words, ElementsAre("a", "b"));
  EXPECT_THAT(none, ElementsAre());
}

TEST(TomlConfig, AnAbsentKeyLeavesTheDefault) {
  TomlFile file = Parsed("");
  TomlTable root = file.Root();
  std::string name = "default";
  int64_t count = 7;
  std::vector<std::string> words = {"w"};
  absl::Duration timeout = absl::Seconds(3);
  root.GetString("name", &name);
  root.GetInt("count", 100, 200, &count);
  root.GetStrings("words", &words);
  TomlTable listen = root.Table("listen");
  listen.GetDuration("timeout", absl::Hours(1), absl::Hours(2), &timeout);
  EXPECT_TRUE(listen.Table("deeper").Tables("networks").empty());
  EXPECT_TRUE(file.Finish().ok()) << file.Finish();
  EXPECT_EQ(name, "default");
  EXPECT_EQ(count, 7);
  EXPECT_THAT(words, ElementsAre("w"));
  EXPECT_EQ(timeout, absl::Seconds(3));
}

TEST(TomlConfig, ReadsTables) {
  TomlFile file = Parsed(R"(
[listen]
port = 1
[listen.tls]
key = "k"
[[network]]
id = "a"
[[network]]
id = "b"
)");
  TomlTable listen = file.Root().Table("listen");
  int64_t port = 0;
  listen.GetInt("port", 0, 10, &port);
  EXPECT_EQ(port, 1);
  std::string key;
  listen.Table("tls").GetString("key", &key);
  EXPECT_EQ(key, "k");
  std::vector<std::string> ids;
  for (TomlTable& network : file.Root().Tables("network"))
    network.GetString("id", &ids.emplace_back());
  EXPECT_THAT(ids, ElementsAre("a", "b"));
  EXPECT_TRUE(file.Finish().ok()) << file.Finish();
}

TEST(TomlConfig, ReportsAllProblemsInTheOrderOfLines) {
  TomlFile file = Parsed(R"(nmae = "x"
count = "five"
ratio = nan
timeout = "soon"

[listen]
port = 70000
words = ["a", 1]
unknown.deeper = 1
[[network]]
id = 1
extra = 2
[other]
x = 1
)");
  TomlTable root = file.Root();
  std::string text;
  int64_t number = 3;
  double ratio = 4;
  absl::Duration timeout = absl::Seconds(5);
  std::vector<std::string> words;
  root.GetString("name", &text);
  root.GetInt("count", 0, 1, &number);
  root.GetDouble("ratio", 0, 1, &ratio);
  root.GetDuration("timeout", absl::ZeroDuration(), absl::Hours(1), &timeout);
  TomlTable listen = root.Table("listen");
  listen.GetInt("port", 1, 65535, &number);
  listen.GetStrings("words", &words);
  for (TomlTable& network : root.Tables("network")) network.GetString("id", &text);
  root.AddError("absent", "is required");
  listen.AddError("port", "is in use");
  const absl::Status status = file.Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(
      Message(status),
      "agent.toml:1: 'absent' is required\n"
      "agent.toml:1: unknown key 'nmae'\n"
      "agent.toml:2: 'count' must be an integer, not a string\n"
      "agent.toml:3: 'ratio' must be from 0 to 1, not nan\n"
      "agent.toml:4: 'timeout' must be a duration such as \"90s\" or \"1h30m\", not \"soon\"\n"
      "agent.toml:7: 'listen.port' is in use\n"
      "agent.toml:7: 'listen.port' must be from 1 to 65535, not 70000\n"
      "agent.toml:8: 'listen.words' must hold strings only, not an integer\n"
      "agent.toml:9: unknown key 'listen.unknown'\n"
      "agent.toml:11: 'network.id' must be a string, not an integer\n"
      "agent.toml:12: unknown key 'network.extra'\n"
      "agent.toml:13: unknown key 'other'");
  EXPECT_EQ(number, 3);
  EXPECT_EQ(ratio, 4);
  EXPECT_EQ(timeout, absl::Seconds(5));
  EXPECT_EQ(text, "");
}

TEST(TomlConfig, EveryTypeIsChecked) {
  TomlFile file = Parsed("a = 1979-05-27\nb = 1\nc = 1.0\nd = [1]\ne = true\nf = 1\ng = 2\n");
  TomlTable root = file.Root();
  std::string text;
  bool flag = false;
  int64_t number = 0;
  double ratio = 0;
  absl::Duration timeout;
  std::vector<std::string> words;
  root.GetString("a", &text);
  root.GetBool("b", &flag);
  root.GetInt("c", 0, 1, &number);
  root.GetDouble("d", 0, 1, &ratio);
  root.GetStrings("e", &words);
  root.GetDuration("f", absl::ZeroDuration(), absl::Hours(1), &timeout);
  root.Table("g");
  root.Tables("b");
  root.Tables("d");
  const std::string message = Message(file.Finish());
  EXPECT_THAT(message, HasSubstr("agent.toml:1: 'a' must be a string, not a date or time"));
  EXPECT_THAT(message, HasSubstr("agent.toml:2: 'b' must be true or false, not an integer"));
  EXPECT_THAT(message, HasSubstr("agent.toml:3: 'c' must be an integer, not a floating-point"));
  EXPECT_THAT(message, HasSubstr("agent.toml:4: 'd' must be a number, not an array"));
  EXPECT_THAT(message, HasSubstr("agent.toml:5: 'e' must be an array of strings, not a boolean"));
  EXPECT_THAT(message, HasSubstr("agent.toml:6: 'f' must be a duration such as"));
  EXPECT_THAT(message, HasSubstr("agent.toml:7: 'g' must be a table, not an integer"));
  EXPECT_THAT(message, HasSubstr("agent.toml:2: 'b' must be an array of tables"));
  EXPECT_THAT(message, HasSubstr("agent.toml:4: 'd' must hold tables only"));
}

TEST(TomlConfig, LimitsAreInclusive) {
  TomlFile file = Parsed("a = 1\nb = 9223372036854775807\nc = \"inf\"\nd = \"-1s\"\n");
  TomlTable root = file.Root();
  int64_t a = 0;
  int64_t b = 0;
  absl::Duration c;
  absl::Duration d;
  root.GetInt("a", 1, 1, &a);
  root.GetInt("b", 0, std::numeric_limits<int64_t>::max(), &b);
  root.GetDuration("c", absl::ZeroDuration(), absl::Hours(1), &c);
  root.GetDuration("d", absl::ZeroDuration(), absl::Hours(1), &d);
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(Message(file.Finish()),
            "agent.toml:3: 'c' must be from 0 to 1h, not inf\n"
            "agent.toml:4: 'd' must be from 0 to 1h, not -1s");
}

TEST(TomlConfig, AFileThatNobodyAskedAnything) {
  EXPECT_EQ(Message(Parsed("a = 1").Finish()), "agent.toml:1: unknown key 'a'");
  EXPECT_TRUE(Parsed("# nothing\n").Finish().ok());
}

TEST(TomlConfig, SyntaxErrorsNameTheLine) {
  for (const char* text : {"a = 1\nb = \n", "a = 1\na = 2\n", "a = 1\n[b\n",
                           "a = 1\nb = \"\xff\"\n", "a = 1\nb = 99999999999999999999\n"}) {
    const absl::StatusOr<TomlFile> file = TomlFile::Parse(text, "agent.toml");
    EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(Message(file.status()), StartsWith("agent.toml:2: ")) << text;
  }
}

TEST(TomlConfig, HostileKeysArePrintable) {
  EXPECT_EQ(Message(Parsed("\"a\\u001b\\n\" = 1").Finish()),
            "agent.toml:1: unknown key 'a\\x1b\\x0a'");
}

TEST(TomlConfig, DeepNestingIsAnErrorAndNoCrash) {
  const absl::StatusOr<TomlFile> file =
      TomlFile::Parse("a = " + std::string(100'000, '['), "agent.toml");
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(TomlConfig, TablesOutliveTheirFile) {
  TomlTable listen;
  {
    TomlFile file = Parsed("[listen]\nport = 5\n");
    listen = file.Root().Table("listen");
  }
  int64_t port = 0;
  listen.GetInt("port", 0, 10, &port);
  EXPECT_EQ(port, 5);
}

TEST(TomlConfig, LoadsAFile) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("agent.toml", "a = 1\n");
  absl::StatusOr<TomlFile> file = TomlFile::Load(path);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(Message(file->Finish()), path + ":1: unknown key 'a'");
  EXPECT_EQ(TomlFile::Load(folder.File("absent")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(TomlFile::Load(folder.path()).ok());
  EXPECT_EQ(TomlFile::Load("/dev/zero").status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace cvm
