// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/unit/cloudinit/iso_inspector.h"
#include "tests/unit/cloudinit/test_trees.h"

namespace cvm::cloudinit {
namespace {

using ::cvm::cloudinit::testing::HardTree;
using ::cvm::cloudinit::testing::Inspect;
using ::cvm::cloudinit::testing::InspectedImage;
using ::cvm::cloudinit::testing::TestOptions;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Write(std::vector<IsoFile> files, const IsoOptions& options = TestOptions()) {
  absl::StatusOr<std::string> image = WriteIso(options, std::move(files));
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? *std::move(image) : std::string();
}

// 64-bit FNV-1a: enough to notice that a byte changed.
std::uint64_t Fingerprint(std::string_view bytes) {
  std::uint64_t hash = 14695981039346656037U;
  for (const char c : bytes) hash = (hash ^ static_cast<std::uint8_t>(c)) * 1099511628211U;
  return hash;
}

TEST(Iso9660, HardTreeBreaksNoRuleOfTheFormats) {
  const InspectedImage image = Inspect(Write(HardTree()));
  EXPECT_THAT(image.faults, IsEmpty());
}

TEST(Iso9660, HardTreeReadsBackThroughRockRidge) {
  const std::vector<IsoFile> files = HardTree();
  const InspectedImage image = Inspect(Write(files));
  std::size_t found = 0;
  for (const IsoFile& file : files) {
    const auto entry = image.primary.by_name.find(file.path);
    ASSERT_NE(entry, image.primary.by_name.end()) << file.path;
    EXPECT_FALSE(entry->second.is_directory);
    EXPECT_EQ(entry->second.content, file.content) << file.path;
    EXPECT_EQ(entry->second.mode, 0100000U | file.mode) << file.path;
    EXPECT_EQ(entry->second.links, 1U);
    ++found;
  }
  const auto others = std::count_if(image.primary.by_name.begin(), image.primary.by_name.end(),
                                    [](const auto& e) { return !e.second.is_directory; });
  EXPECT_EQ(static_cast<std::size_t>(others), found) << "files that nobody asked for";
}

TEST(Iso9660, DirectoriesHaveTheirModeInRockRidge) {
  const InspectedImage image = Inspect(Write({{"a/b/file", "x"}}));
  ASSERT_EQ(image.primary.by_name.count("a/b"), 1U);
  EXPECT_EQ(image.primary.by_name.at("a/b").mode, 0040555U);
  EXPECT_EQ(image.primary.by_name.at("a").links, 3U);
}

TEST(Iso9660, JolietHasTheSameFilesUnderTheirNames) {
  const InspectedImage image = Inspect(Write(
      {{"openstack/latest/meta_data.json", "m"}, {"\xc3\xbcn\xc3\xaf/\xe6\x97\xa5.txt", "u"}}));
  const auto& joliet = image.joliet.by_identifier;
  ASSERT_EQ(joliet.count("openstack/latest/meta_data.json;1"), 1U);
  EXPECT_EQ(joliet.at("openstack/latest/meta_data.json;1").content, "m");
  ASSERT_EQ(joliet.count("\xc3\xbcn\xc3\xaf/\xe6\x97\xa5.txt;1"), 1U);
}

TEST(Iso9660, HardTreeHasEveryFileInBothVolumes) {
  const std::vector<IsoFile> files = HardTree();
  const InspectedImage image = Inspect(Write(files));
  const auto contents = [](const testing::InspectedVolume& volume) {
    std::multiset<std::string> out;
    for (const auto& [path, entry] : volume.by_identifier) {
      if (!entry.is_directory) out.insert(entry.content);
    }
    return out;
  };
  std::multiset<std::string> expected;
  for (const IsoFile& file : files) expected.insert(file.content);
  EXPECT_EQ(contents(image.primary), expected);
  EXPECT_EQ(contents(image.joliet), expected);
}

TEST(Iso9660, LabelIsExactInBothDescriptors) {
  for (const std::string label : {"config-2", "C", "CONFIG-2", "a label, with: space!"}) {
    const InspectedImage image =
        Inspect(Write({{"f", "x"}}, {.volume_label = label, .mtime = testing::kTestTime}));
    EXPECT_EQ(image.primary.label, label);
    EXPECT_EQ(image.joliet.label, label.substr(0, 16));
  }
}

TEST(Iso9660, InputOrderDoesNotMatter) {
  std::vector<IsoFile> files = HardTree();
  const std::string image = Write(files);
  std::reverse(files.begin(), files.end());
  EXPECT_EQ(Write(files), image);
  std::rotate(files.begin(), files.begin() + 17, files.end());
  EXPECT_EQ(Write(files), image);
}

// The bytes of an image are part of the contract: a rebuilt drive is compared with the one in use.
// A change here is one that every guest's drive sees, and needs a reason.
TEST(Iso9660, BytesAreThoseOfEarlierReleases) {
  const std::string image = Write({{"openstack/latest/meta_data.json", "{}\n"},
                                   {"openstack/latest/user_data", ""},
                                   {std::string(200, 'n'), "long\n"}});
  EXPECT_EQ(image.size(), std::size_t{33} * 2048);
  EXPECT_EQ(Fingerprint(image), 0x9c2580f14afb9539U) << fmt::format("{:#x}", Fingerprint(image));
}

TEST(Iso9660, TimeIsTheCallersEverywhere) {
  const IsoOptions other{.volume_label = "config-2",
                         .mtime = testing::kTestTime + std::chrono::seconds(1)};
  const std::string image = Write({{"f", "x"}});
  EXPECT_NE(image, Write({{"f", "x"}}, other));
  EXPECT_EQ(image.substr(16 * 2048 + 813, 17), std::string("2024022923595800\0", 17));
  const std::string seven("\x7c\x02\x1d\x17\x3b\x3a\x00", 7);
  EXPECT_EQ(image.substr(16 * 2048 + 156 + 18, 7), seven) << "root record";
}

TEST(Iso9660, WritesAFileOf64MiB) {
  std::string content(std::size_t{64} << 20U, '\0');
  for (std::size_t i = 0; i < content.size(); i += 4093) content[i] = static_cast<char>(i % 251);
  const std::string image = Write({{"big", content}, {"small", "s"}});
  const InspectedImage read = Inspect(image);
  EXPECT_THAT(read.faults, IsEmpty());
  EXPECT_TRUE(read.primary.by_name.at("big").content == content);
  EXPECT_EQ(read.primary.by_name.at("small").content, "s");
}

TEST(Iso9660, EmptyFilesPointIntoTheVolume) {
  const std::string image = Write({{"a", ""}, {"b", ""}});
  const InspectedImage read = Inspect(image);
  EXPECT_THAT(read.faults, IsEmpty());
  EXPECT_EQ(read.primary.by_name.at("a").bytes, 0U);
}

struct Refusal {
  const char* what;
  std::vector<IsoFile> files;
  const char* message;
};

TEST(Iso9660, RefusesBadFiles) {
  const std::string nul("a\0b", 3);
  const std::vector<Refusal> cases = {
      {"no files", {}, "no files"},
      {"empty path", {{"", "x"}}, "empty path"},
      {"absolute", {{"/etc/passwd", "x"}}, "absolute"},
      {"parent", {{"a/../b", "x"}}, "'.' or '..'"},
      {"parent only", {{"..", "x"}}, "'.' or '..'"},
      {"self", {{"./a", "x"}}, "'.' or '..'"},
      {"double slash", {{"a//b", "x"}}, "empty component"},
      {"trailing slash", {{"a/", "x"}}, "empty component"},
      {"duplicate", {{"a/b", "x"}, {"a/b", "y"}}, "more than once"},
      {"file as directory", {{"a", "x"}, {"a/b", "y"}}, "also a file"},
      {"directory as file", {{"a/b", "x"}, {"a!", "z"}, {"a", "y"}}, "'a'"},
      {"NUL", {{nul, "x"}}, "NUL"},
      {"newline", {{"a\nb", "x"}}, "control character"},
      {"not UTF-8", {{"a\xff", "x"}}, "not UTF-8"},
      {"overlong UTF-8", {{"a\xc0\xaf", "x"}}, "not UTF-8"},
      {"long component", {{std::string(kIsoMaxNameBytes + 1, 'n'), "x"}}, "254 bytes"},
      {"too deep", {{"1/2/3/4/5/6/7/8/f", "x"}}, "8 directories deep"},
      {"mode", {{"f", "x", 01777}}, "mode"},
      {"large", {{"f", std::string(kIsoMaxFileBytes + 1, 'x')}}, "at most"},
  };
  for (const Refusal& refusal : cases) {
    const absl::StatusOr<std::string> image = WriteIso(TestOptions(), refusal.files);
    EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument) << refusal.what;
    EXPECT_THAT(std::string(image.status().message()), HasSubstr(refusal.message)) << refusal.what;
  }
}

TEST(Iso9660, RefusalNamesThePathWithoutItsControlCharacters) {
  const absl::StatusOr<std::string> image = WriteIso(TestOptions(), {{"bad\n\x1b[2J/../x", "x"}});
  EXPECT_THAT(std::string(image.status().message()), HasSubstr("bad\\x0a\\x1b[2J"));
}

TEST(Iso9660, RefusesTooManyFilesAndBytes) {
  std::vector<IsoFile> files;
  for (std::size_t i = 0; i <= kIsoMaxFiles; ++i) files.push_back({fmt::format("{}", i), ""});
  EXPECT_EQ(WriteIso(TestOptions(), files).status().code(), absl::StatusCode::kInvalidArgument);
  files.pop_back();
  EXPECT_TRUE(WriteIso(TestOptions(), files).ok());

  std::vector<IsoFile> large;
  for (int i = 0; i < 4; ++i) {
    large.push_back({fmt::format("{}", i), std::string(kIsoMaxFileBytes, 'x')});
  }
  large.push_back({"one more", "x"});
  EXPECT_THAT(std::string(WriteIso(TestOptions(), std::move(large)).status().message()),
              HasSubstr("together"));
}

TEST(Iso9660, RefusesBadLabels) {
  for (const std::string& label :
       {std::string(), std::string(33, 'x'), std::string("caf\xc3\xa9"), std::string("a\nb"),
        std::string("a\0b", 3), std::string(" config-2"), std::string("config-2 ")}) {
    const absl::StatusOr<std::string> image =
        WriteIso({.volume_label = label, .mtime = testing::kTestTime}, {{"f", "x"}});
    EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument) << label;
    EXPECT_THAT(std::string(image.status().message()), HasSubstr("volume label"));
  }
}

TEST(Iso9660, RefusesTimesThatDoNotFit) {
  const auto year = [](int y) { return std::chrono::sys_days(std::chrono::year(y) / 1 / 1); };
  for (const std::chrono::sys_seconds time : {year(1969), year(2156)}) {
    EXPECT_EQ(WriteIso({.volume_label = "x", .mtime = time}, {{"f", "x"}}).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_TRUE(WriteIso({.volume_label = "x", .mtime = year(1970)}, {{"f", "x"}}).ok());
  EXPECT_TRUE(WriteIso({.volume_label = "x", .mtime = year(2155)}, {{"f", "x"}}).ok());
}

// The inspector must notice what it is there for.
TEST(IsoInspector, NoticesDamage) {
  const std::string good = Write(HardTree());
  const std::vector<std::pair<std::size_t, const char*>> damage = {
      {16 * 2048 + 80, "volume size"},
      {16 * 2048 + 84, "its other half"},
      {16 * 2048 + 130, "block size"},
      {17 * 2048 + 88, "Joliet escape"},
      {18 * 2048, "terminator"},
      {19 * 2048 + 2, "path table"},
      {16 * 2048 + 156 + 2, "root's extent"},
      {100, "system area"},
  };
  for (const auto& [offset, what] : damage) {
    std::string bad = good;
    bad[offset] = static_cast<char>(bad[offset] ^ 0x55);
    EXPECT_FALSE(Inspect(bad).faults.empty()) << what;
  }
}

}  // namespace
}  // namespace cvm::cloudinit
