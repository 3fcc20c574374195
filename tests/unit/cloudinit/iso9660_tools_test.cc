// SPDX-License-Identifier: Apache-2.0
//
// The image as independent programs see it: isoinfo (genisoimage), xorriso, blkid. A missing
// program fails the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cloudinit/iso9660.h"
#include "tests/unit/cloudinit/run_command.h"
#include "tests/unit/cloudinit/temporary_directory.h"
#include "tests/unit/cloudinit/test_trees.h"

namespace cvm::cloudinit::testing {
namespace {

using ::testing::HasSubstr;

class Iso9660Tools : public ::testing::Test {
 protected:
  void SetUp() override {
    absl::StatusOr<std::string> image = WriteIso(TestOptions(), HardTree());
    ASSERT_TRUE(image.ok()) << image.status();
    WriteFile(path_, *image);
  }

  CommandResult Run(const std::vector<std::string>& argv) {
    CommandResult result = RunCommand(argv);
    EXPECT_TRUE(result.ran) << result.output;
    EXPECT_EQ(result.exit_code, 0) << result.output;
    return result;
  }

  TemporaryDirectory directory_;
  std::filesystem::path path_ = directory_.path() / "image.iso";
};

TEST_F(Iso9660Tools, BlkidSeesTypeAndExactLabel) {
  const CommandResult result = Run({"blkid", "-p", "-o", "export", path_.string()});
  EXPECT_THAT(result.output, HasSubstr("\nLABEL=config-2\n"));
  EXPECT_THAT(result.output, HasSubstr("\nTYPE=iso9660\n"));
  EXPECT_THAT(result.output, HasSubstr("VERSION=Joliet\\ Extension\n"));
}

TEST_F(Iso9660Tools, IsoinfoSeesTheVolumes) {
  const CommandResult result = Run({"isoinfo", "-d", "-i", path_.string()});
  EXPECT_THAT(result.output, HasSubstr("Volume id: config-2\n"));
  EXPECT_THAT(result.output, HasSubstr("Joliet with UCS level 3 found\n"));
  EXPECT_THAT(result.output, HasSubstr("Rock Ridge signatures version 1 found\n"));
}

TEST_F(Iso9660Tools, IsoinfoListsEveryPathThroughRockRidge) {
  const CommandResult result = Run({"isoinfo", "-R", "-f", "-i", path_.string()});
  const std::string listing = "\n" + result.output;
  for (const IsoFile& file : HardTree()) {
    EXPECT_THAT(listing, HasSubstr("\n/" + file.path + "\n"));
  }
}

TEST_F(Iso9660Tools, IsoinfoReadsContentsInAllThreeNamespaces) {
  const std::string iso = path_.string();
  const std::string expected = "{\"uuid\": \"x\"}\n";
  EXPECT_EQ(Run({"isoinfo", "-R", "-i", iso, "-x", "/openstack/latest/meta_data.json"}).output,
            expected);
  EXPECT_EQ(Run({"isoinfo", "-J", "-i", iso, "-x", "/openstack/latest/meta_data.json;1"}).output,
            expected);
  EXPECT_EQ(Run({"isoinfo", "-i", iso, "-x", "/OPENSTAC/LATEST/META_DAT.JSO;1"}).output, expected);
}

TEST_F(Iso9660Tools, XorrisoExtractsEveryFile) {
  const std::filesystem::path target = directory_.path() / "extracted";
  const CommandResult result = Run(
      {"xorriso", "-osirrox", "on", "-indev", path_.string(), "-extract", "/", target.string()});
  EXPECT_THAT(result.output, HasSubstr("Volume id    : 'config-2'"));
  for (const IsoFile& file : HardTree()) {
    EXPECT_EQ(ReadFile(target / file.path), file.content) << file.path;
    const auto permissions = std::filesystem::status(target / file.path).permissions();
    EXPECT_EQ(static_cast<std::uint32_t>(permissions), file.mode) << file.path;
  }
}

TEST_F(Iso9660Tools, XorrisoFindsNoFault) {
  const CommandResult result = Run({"xorriso", "-report_about", "NOTE", "-indev", path_.string(),
                                    "-check_media", "use=indev", "--"});
  EXPECT_THAT(result.output, Not(HasSubstr("WARNING")));
  EXPECT_THAT(result.output, Not(HasSubstr("SORRY")));
  EXPECT_THAT(result.output, Not(HasSubstr("FAILURE")));
}

}  // namespace
}  // namespace cvm::cloudinit::testing
