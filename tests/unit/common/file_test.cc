// SPDX-License-Identifier: Apache-2.0
#include "common/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "common/errors.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

size_t EntriesIn(const std::string& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(UniqueFd, ClosesOnceAndMoves) {
  const int raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(raw, 0);
  {
    UniqueFd first(raw);
    UniqueFd second(std::move(first));
    EXPECT_EQ(second.get(), raw);
    UniqueFd third;
    EXPECT_FALSE(third);
    third = std::move(second);
    EXPECT_TRUE(third);
    third = UniqueFd(third.Release());
    EXPECT_TRUE(IsOpen(raw));
  }
  EXPECT_FALSE(IsOpen(raw));
}

TEST(UniqueFd, AssignmentClosesTheOldOne) {
  UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int old = fd.get();
  UniqueFd other(open("/dev/null", O_RDONLY | O_CLOEXEC));
  fd = std::move(other);
  EXPECT_FALSE(IsOpen(old));
  EXPECT_TRUE(IsOpen(fd.get()));
}

TEST(DiscardBlocksTest, GivesTheBlocksBackAndKeepsTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder.File("disk");
  ASSERT_TRUE(WriteFileAtomically(path, std::string(1 << 20, 'x'), 0600).ok());
  struct stat before {};
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  ASSERT_GT(before.st_blocks, 0);
  const absl::Status status = DiscardBlocks(path);
  ASSERT_TRUE(status.ok()) << status << ": this file system cannot punch holes";
  struct stat after {};
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_EQ(after.st_size, before.st_size);
  EXPECT_EQ(after.st_blocks, 0);
  EXPECT_EQ(*ReadFile(path, 1 << 20), std::string(1 << 20, '\0'));
}

TEST(DiscardBlocksTest, TouchesNothingButTheFileItself) {
  const TemporaryFolder folder;
  EXPECT_TRUE(DiscardBlocks(folder.File("absent")).ok());
  ASSERT_TRUE(WriteFileAtomically(folder.File("empty"), "", 0600).ok());
  EXPECT_TRUE(DiscardBlocks(folder.File("empty")).ok());
  ASSERT_TRUE(WriteFileAtomically(folder.File("target"), "kept", 0600).ok());
  std::filesystem::create_symlink(folder.File("target"), folder.File("link"));
  EXPECT_FALSE(DiscardBlocks(folder.File("link")).ok());
  EXPECT_EQ(*ReadFile(folder.File("target"), 10), "kept");
  EXPECT_FALSE(DiscardBlocks(folder.path()).ok());
}

TEST(WriteFileAtomically, WritesContentAndMode) {
  const TemporaryFolder folder;
  const mode_t before = umask(0077);
  const std::string content("a\0b\n", 4);
  EXPECT_TRUE(WriteFileAtomically(folder.File("f"), content, 0644).ok());
  umask(before);
  EXPECT_EQ(ReadFile(folder.File("f"), 100).value(), content);
  EXPECT_EQ(ModeOf(folder.File("f")), 0644u);
  EXPECT_TRUE(WriteFileAtomically(folder.File("f"), "", 0600).ok());
  EXPECT_EQ(ReadFile(folder.File("f"), 100).value(), "");
  EXPECT_EQ(ModeOf(folder.File("f")), 0600u);
  EXPECT_EQ(EntriesIn(folder.path()), 1u);
}

TEST(WriteFileAtomically, ReadersSeeTheOldFileOrTheNewOne) {
  const TemporaryFolder folder;
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "old", 0600).ok());
  const UniqueFd reader(open(folder.File("f").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(WriteFileAtomically(folder.File("f"), "new", 0600).ok());
  std::string seen(3, ' ');
  ASSERT_EQ(read(reader.get(), seen.data(), 3), 3);
  EXPECT_EQ(seen, "old");
}

TEST(WriteFileAtomically, ReplacesALinkAndNotItsTarget) {
  const TemporaryFolder folder;
  folder.Write("target", "precious");
  std::filesystem::create_symlink("target", folder.File("link"));
  ASSERT_TRUE(WriteFileAtomically(folder.File("link"), "new", 0600).ok());
  EXPECT_EQ(ReadFile(folder.File("target"), 100).value(), "precious");
  EXPECT_FALSE(std::filesystem::is_symlink(folder.File("link")));
}

TEST(WriteFileAtomically, FailureLeavesTheOldFileAndNothingElse) {
  const TemporaryFolder folder;
  folder.Write("f", "old");
  // The write fails half-way: beyond this size the kernel answers EFBIG (and sends SIGXFSZ).
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100'000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status =
      WriteFileAtomically(folder.File("f"), std::string(200'000, 'x'), 0600);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, handler);
  EXPECT_FALSE(status.ok());
  EXPECT_EQ(ReadFile(folder.File("f"), 100).value(), "old");
  EXPECT_EQ(EntriesIn(folder.path()), 1u);
}

TEST(WriteFileAtomically, TellsWhyItCannot) {
  const TemporaryFolder folder;
  EXPECT_EQ(WriteFileAtomically(folder.File("no/f"), "x", 0600).code(),
            absl::StatusCode::kNotFound);
  ASSERT_TRUE(MakeFolders(folder.File("d"), 0700).ok());
  EXPECT_FALSE(WriteFileAtomically(folder.File("d"), "x", 0600).ok());
  EXPECT_EQ(EntriesIn(folder.path()), 1u);
}

TEST(WriteFileAtomically, AFullDiskIsNoSpace) {
  if (access("/dev/full", W_OK) != 0) FAIL() << "/dev/full is missing";
  const UniqueFd full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  // What the device answers is what a full disk answers.
  ASSERT_EQ(write(full.get(), "x", 1), -1);
  ASSERT_EQ(errno, ENOSPC);
  EXPECT_EQ(ReasonOf(FileError(ENOSPC, "write", "/secret/path")),
            common::v1::ERROR_REASON_NO_SPACE);
  EXPECT_EQ(ReasonOf(FileError(EDQUOT, "write", "/secret/path")),
            common::v1::ERROR_REASON_NO_SPACE);
  EXPECT_EQ(std::string(FileError(ENOSPC, "write", "/secret/path").message()).find("secret"),
            std::string::npos);
}

TEST(RemoveTemporaryFiles, RemovesWhatACrashLeftAndNothingElse) {
  const TemporaryFolder folder;
  folder.Write("spec.json.tmp-a1B2c3", "half");
  for (const char* kept : {"spec.json", ".tmp-a1B2c3", "x.tmp-a1B2c", "x.tmp-a1B2c34", "tmp"}) {
    folder.Write(kept, "x");
  }
  ASSERT_TRUE(RemoveTemporaryFiles(folder.path()).ok());
  EXPECT_FALSE(std::filesystem::exists(folder.File("spec.json.tmp-a1B2c3")));
  EXPECT_EQ(EntriesIn(folder.path()), 5u);
  EXPECT_EQ(RemoveTemporaryFiles(folder.File("no")).code(), absl::StatusCode::kNotFound);
}

TEST(ReadFile, IsBounded) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("f", std::string(200'000, 'x'));
  EXPECT_EQ(ReadFile(path, 200'000).value().size(), 200'000u);
  EXPECT_EQ(ReadFile(path, 199'999).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(ReadFile("/dev/zero", 1 << 20).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(ReadFile, TellsWhyItCannot) {
  const TemporaryFolder folder;
  EXPECT_EQ(ReadFile(folder.File("no"), 1).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(ReadFile(folder.path(), 1).ok());
}

TEST(RemoveFile, IsHarmlessToRepeat) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("f", "x");
  EXPECT_TRUE(RemoveFile(path).ok());
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_TRUE(RemoveFile(path).ok());
  EXPECT_TRUE(RemoveFile(folder.File("no/f")).ok());
  EXPECT_FALSE(RemoveFile(folder.path()).ok());
}

TEST(Sync, ReportsWhatIsAbsent) {
  const TemporaryFolder folder;
  EXPECT_TRUE(SyncFile(folder.Write("f", "x")).ok());
  EXPECT_TRUE(SyncFolderOf(folder.File("f")).ok());
  EXPECT_TRUE(SyncFolderOf("relative").ok());
  EXPECT_TRUE(SyncFolderOf("/top").ok());
  EXPECT_EQ(SyncFile(folder.File("no")).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(SyncFolderOf(folder.File("no/f")).code(), absl::StatusCode::kNotFound);
}

TEST(MakeFolders, MakesWhatIsMissingWithItsMode) {
  const TemporaryFolder folder;
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  const mode_t before = umask(0077);
  const absl::Status made = MakeFolders(folder.File("a//b/c/"), 0750);
  umask(before);
  EXPECT_TRUE(made.ok()) << made;
  EXPECT_EQ(ModeOf(folder.File("a")), 0750u);
  EXPECT_EQ(ModeOf(folder.File("a/b/c")), 0750u);
  EXPECT_EQ(ModeOf(folder.path()), 0755u);
  EXPECT_TRUE(MakeFolders(folder.File("a/b/c"), 0700).ok());
  EXPECT_EQ(ModeOf(folder.File("a/b/c")), 0750u);
}

TEST(MakeFolders, RefusesAFileInItsWay) {
  const TemporaryFolder folder;
  folder.Write("f", "x");
  EXPECT_FALSE(MakeFolders(folder.File("f"), 0700).ok());
  EXPECT_FALSE(MakeFolders(folder.File("f/g"), 0700).ok());
  EXPECT_FALSE(MakeFolders("", 0700).ok());
}

}  // namespace
}  // namespace cvm
