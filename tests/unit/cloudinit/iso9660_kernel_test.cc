// SPDX-License-Identifier: Apache-2.0
//
// Mounts images with a Linux kernel in each of its three ways of reading them: Rock Ridge, Joliet,
// and bare ISO 9660.
//
// The kernel is Debian's user-mode-linux, a process of ours: the host's own kernel may lack isofs,
// and nothing stays mounted when a test fails. It boots once for all tests, from a directory of the
// host, and copies what it mounted back into that directory. A missing package fails the tests.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <memory>
#include <set>

#include "cloudinit/config_drive.h"
#include "cloudinit/iso9660.h"
#include "tests/unit/cloudinit/run_command.h"
#include "tests/unit/cloudinit/sample_settings.h"
#include "tests/unit/cloudinit/temporary_directory.h"
#include "tests/unit/cloudinit/test_trees.h"

namespace cvm::cloudinit::testing {
namespace {

namespace fs = std::filesystem;

// Writes the words "mounted NAME" for each mount that worked, so that an empty directory is not
// taken for an empty disc.
constexpr const char* kInit = R"(#!/bin/busybox sh
for module in cdrom nls_utf8 nls_iso8859-1 isofs; do
  /bin/busybox insmod /modules/$module.ko
done
read_disc() {
  /bin/busybox mount -t iso9660 -o "ro,$3" "$2" /mnt || return
  /bin/busybox cp -a /mnt "/out/$1" && echo "mounted $1" >>/out/log
  /bin/busybox umount /mnt
}
read_disc rock_ridge /dev/ubda iocharset=utf8
read_disc joliet /dev/ubda norock,iocharset=utf8
read_disc plain /dev/ubda norock,nojoliet
read_disc config_drive /dev/ubdb defaults
/bin/busybox sync
/bin/busybox poweroff -f
)";

// Where Debian keeps the modules of user-mode-linux.
fs::path FindModule(const std::string& name) {
  const fs::path root = "/usr/lib/uml/modules";
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(root, error)) {
    if (entry.path().filename() == name) return entry.path();
  }
  ADD_FAILURE() << "no " << name << " beneath " << root << " (is user-mode-linux installed?)";
  return {};
}

class Iso9660Kernel : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = std::make_unique<TemporaryDirectory>();
    const fs::path root = directory_->path() / "root";
    for (const char* name : {"bin", "mnt", "dev", "proc", "out", "modules"}) {
      fs::create_directories(root / name);
    }
    std::error_code error;
    fs::copy_file("/bin/busybox", root / "bin/busybox", error);
    ASSERT_FALSE(error) << "no /bin/busybox (is busybox-static installed?)";
    for (const char* name : {"cdrom.ko", "nls_utf8.ko", "nls_iso8859-1.ko", "isofs.ko"}) {
      const fs::path module = FindModule(name);
      ASSERT_FALSE(module.empty());
      fs::copy_file(module, root / "modules" / name);
    }
    WriteFile(root / "init", kInit);
    fs::permissions(root / "init", fs::perms::owner_all);

    absl::StatusOr<std::string> hard = WriteIso(TestOptions(), HardTree());
    absl::StatusOr<std::string> drive = BuildConfigDrive(FullSettings());
    ASSERT_TRUE(hard.ok() && drive.ok());
    WriteFile(directory_->path() / "hard.iso", *hard);
    WriteFile(directory_->path() / "drive.iso", *drive);

    const CommandResult result =
        RunCommand({"linux.uml", "mem=64M", "ubd0r=" + (directory_->path() / "hard.iso").string(),
                    "ubd1r=" + (directory_->path() / "drive.iso").string(), "rootfstype=hostfs",
                    "rootflags=" + root.string(), "rw", "init=/init", "con=null", "con0=null,fd:1"},
                   std::chrono::seconds(600));
    ASSERT_TRUE(result.ran) << result.output;
    out_ = root / "out";
    kernel_output_ = result.output;
    log_ = fs::exists(out_ / "log") ? ReadFile(out_ / "log") : "";
  }

  static void TearDownTestSuite() { directory_.reset(); }

  // The copy of one mount.
  static fs::path Mounted(const std::string& name) {
    EXPECT_THAT("\n" + log_, ::testing::HasSubstr("\nmounted " + name + "\n")) << kernel_output_;
    return out_ / name;
  }

  static std::size_t CountFiles(const fs::path& root) {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }

  static std::unique_ptr<TemporaryDirectory> directory_;
  static fs::path out_;
  static std::string kernel_output_;
  static std::string log_;
};

std::unique_ptr<TemporaryDirectory> Iso9660Kernel::directory_;
fs::path Iso9660Kernel::out_;
std::string Iso9660Kernel::kernel_output_;
std::string Iso9660Kernel::log_;

TEST_F(Iso9660Kernel, RockRidgeGivesNamesModesTimesAndContents) {
  const fs::path root = Mounted("rock_ridge");
  for (const IsoFile& file : HardTree()) {
    ASSERT_EQ(ReadFile(root / file.path), file.content) << file.path;
    struct stat info {};
    ASSERT_EQ(stat((root / file.path).c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, file.mode) << file.path;
    EXPECT_EQ(info.st_mtime, kTestTime.time_since_epoch().count()) << file.path;
  }
  EXPECT_EQ(CountFiles(root), HardTree().size());
}

TEST_F(Iso9660Kernel, JolietGivesNamesAndContents) {
  const fs::path root = Mounted("joliet");
  std::multiset<std::string> contents;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) contents.insert(ReadFile(entry.path()));
  }
  std::multiset<std::string> expected;
  for (const IsoFile& file : HardTree()) expected.insert(file.content);
  EXPECT_EQ(contents, expected);
  EXPECT_EQ(ReadFile(root / "openstack/latest/meta_data.json"), "{\"uuid\": \"x\"}\n");
  EXPECT_EQ(ReadFile(root / "\xc3\xbcn\xc3\xaf/\xe6\x97\xa5\xe6\x9c\xac.txt"), "unicode\n");
  EXPECT_EQ(ReadFile(root / "1/2/3/4/5/6/7/deep.txt"), "seven directories\n");
}

TEST_F(Iso9660Kernel, PlainGivesShortNamesAndContents) {
  const fs::path root = Mounted("plain");
  EXPECT_EQ(CountFiles(root), HardTree().size());
  EXPECT_EQ(ReadFile(root / "openstac/latest/meta_dat.jso"), "{\"uuid\": \"x\"}\n");
  EXPECT_EQ(ReadFile(root / "1/2/3/4/5/6/7/deep.txt"), "seven directories\n");
}

TEST_F(Iso9660Kernel, ConfigDriveGivesItsDocuments) {
  const fs::path root = Mounted("config_drive");
  const absl::StatusOr<std::vector<IsoFile>> files = ConfigDriveFiles(FullSettings());
  ASSERT_TRUE(files.ok());
  for (const IsoFile& file : *files) EXPECT_EQ(ReadFile(root / file.path), file.content);
  EXPECT_EQ(CountFiles(root), files->size());
}

}  // namespace
}  // namespace cvm::cloudinit::testing
