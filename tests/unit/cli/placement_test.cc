// SPDX-License-Identifier: Apache-2.0
#include "cli/placement.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::cli {
namespace {

namespace fs = std::filesystem;

class PlaceImageTest : public ::testing::Test {
 protected:
  PlaceImageTest() {
    std::string name = (fs::temp_directory_path() / "cvm-placement-XXXXXX").string();
    root_ = mkdtemp(name.data());
    fs::create_directories(root_ / "import" / "sub");
    fs::create_directories(root_ / "elsewhere");
  }
  ~PlaceImageTest() override { fs::remove_all(root_); }

  fs::path Write(const fs::path& relative, const std::string& content) {
    const fs::path path = root_ / relative;
    std::ofstream(path) << content;
    return path;
  }
  static std::string Read(const fs::path& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  absl::StatusOr<Placement> Place(const fs::path& file, const PlacementOptions& options = {}) {
    return PlaceImage(file.string(), (root_ / "import").string(), options, Random::Secure());
  }
  size_t FilesInImport() const {
    size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root_ / "import")) {
      count += entry.is_directory() ? 0 : 1;
    }
    return count;
  }

  fs::path root_;
};

TEST_F(PlaceImageTest, TakesAFileBeneathTheFolderWhereItIs) {
  const auto placement = Place(Write("import/sub/a.raw", "x"));
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_EQ(placement->source_file, "sub/a.raw");
  EXPECT_EQ(placement->means, Placement::Means::kInPlace);
  EXPECT_EQ(placement->placed, nullptr);
}

TEST_F(PlaceImageTest, ResolvesLinksIntoTheFolder) {
  Write("import/a.raw", "x");
  fs::create_symlink(root_ / "import" / "a.raw", root_ / "elsewhere" / "link");
  const auto placement = Place(root_ / "elsewhere" / "link");
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_EQ(placement->source_file, "a.raw");
}

TEST_F(PlaceImageTest, PlacesAFileFromOutsideThroughALinkInTheFolder) {
  const fs::path file = Write("elsewhere/a.raw", "content");
  fs::create_symlink(file, root_ / "import" / "link");
  const auto placement = Place(root_ / "import" / "link");
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_NE(placement->placed, nullptr);
  EXPECT_FALSE(fs::is_symlink(root_ / "import" / placement->source_file));
  EXPECT_EQ(Read(root_ / "import" / placement->source_file), "content");
}

TEST_F(PlaceImageTest, DoesNotTakeASiblingFolderForTheFolder) {
  fs::create_directories(root_ / "import-old");
  const auto placement = Place(Write("import-old/a.raw", "x"));
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_NE(placement->placed, nullptr);
}

TEST_F(PlaceImageTest, LinksAndRemovesTheLinkOnly) {
  const fs::path file = Write("elsewhere/a.raw", "content");
  {
    const auto placement = Place(file, {.reflink = false});
    ASSERT_TRUE(placement.ok()) << placement.status();
    EXPECT_EQ(placement->means, Placement::Means::kHardLink);
    EXPECT_EQ(Read(root_ / "import" / placement->source_file), "content");
    EXPECT_EQ(fs::hard_link_count(file), 2u);
    EXPECT_EQ(FilesInImport(), 1u);
  }
  EXPECT_EQ(FilesInImport(), 0u);
  EXPECT_EQ(Read(file), "content");
}

TEST_F(PlaceImageTest, CopiesAndKeepsHoles) {
  const fs::path file = Write("elsewhere/a.raw", "start");
  constexpr off_t kSize = 64 << 20;
  ASSERT_EQ(truncate(file.c_str(), kSize), 0);
  std::fstream stream(file, std::ios::in | std::ios::out);
  stream.seekp(32 << 20);
  stream << "middle";
  stream.close();
  uint64_t told = 0;
  const auto placement =
      Place(file, {.reflink = false, .hard_link = false, .on_copied = [&](uint64_t, uint64_t size) {
                     told = size;
                     return true;
                   }});
  ASSERT_TRUE(placement.ok()) << placement.status();
  EXPECT_EQ(placement->means, Placement::Means::kCopy);
  EXPECT_EQ(told, static_cast<uint64_t>(kSize));
  const fs::path copy = root_ / "import" / placement->source_file;
  EXPECT_TRUE(Read(file) == Read(copy));
  struct stat info {};
  ASSERT_EQ(stat(copy.c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, kSize / 2);
  EXPECT_EQ(info.st_mode & 0007, 0u);
}

TEST_F(PlaceImageTest, ACopyThatIsStoppedLeavesNothing) {
  const auto placement =
      Place(Write("elsewhere/a.raw", "x"), {.reflink = false,
                                            .hard_link = false,
                                            .on_copied = [](uint64_t, uint64_t) { return false; }});
  EXPECT_TRUE(absl::IsCancelled(placement.status()));
  EXPECT_EQ(FilesInImport(), 0u);
}

TEST_F(PlaceImageTest, RefusesWhatIsNoFile) {
  EXPECT_TRUE(absl::IsInvalidArgument(Place(root_ / "absent").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Place(root_ / "elsewhere").status()));
  ASSERT_EQ(mkfifo((root_ / "pipe").c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(Place(root_ / "pipe").status()));
  EXPECT_EQ(FilesInImport(), 0u);
}

TEST_F(PlaceImageTest, RefusesAnAbsentFolder) {
  fs::remove_all(root_ / "import");
  EXPECT_TRUE(absl::IsInvalidArgument(Place(Write("elsewhere/a.raw", "x")).status()));
}

TEST_F(PlaceImageTest, RemoveSaysNothingWhenTheFileIsGoneAlready) {
  const auto placement = Place(Write("elsewhere/a.raw", "x"));
  ASSERT_TRUE(placement.ok()) << placement.status();
  fs::remove(root_ / "import" / placement->source_file);
  EXPECT_TRUE(placement->placed->Remove().ok());
}

}  // namespace
}  // namespace cvm::cli
