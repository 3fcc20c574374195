// SPDX-License-Identifier: Apache-2.0
//
// On the real qemu-img.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "drivers/images/disk_images.h"
#include "drivers/images/qemu_img.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/drivers/images/image_files.h"

namespace cvm::images {
namespace {

using common::v1::ERROR_REASON_COMMAND_FAILED;
using common::v1::ERROR_REASON_DISK_TOO_SMALL;
using common::v1::ERROR_REASON_IMAGE_CORRUPT;
using common::v1::ERROR_REASON_IMAGE_IN_USE;
using common::v1::ERROR_REASON_IMAGE_UNSAFE;
using common::v1::ERROR_REASON_INVALID_FIELD;
using common::v1::ERROR_REASON_NO_SPACE;
using common::v1::ERROR_REASON_OPERATION_CANCELLED;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kMaxBytes = 4096 * kMiB;

// Mounts a small tmpfs that only this thread and its children see, and that goes with it: nothing
// is left on the host however the test ends.
bool MountPrivateTmpfs(const std::string& path, const std::string& options) {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         mount("none", path.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

// Takes the lock that a QEMU which may write to the file holds on it.
bool LockAsWriter(const UniqueFd& fd) {
  constexpr off_t kWritePermissionByte = 101;
  struct flock lock {};
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = kWritePermissionByte;
  lock.l_len = 1;
  return fcntl(fd.get(), F_OFD_SETLK, &lock) == 0;
}

class QemuDiskImagesTest : public testing::Test {
 protected:
  // 64 MiB, the first of them noise.
  void MakeRaw(const std::string& name) {
    WriteAll(folder_ / name, Noise(kMiB));
    ASSERT_EQ(truncate((folder_ / name).c_str(), 64 * kMiB), 0);
  }
  void MakeQcow2(const std::string& name, const std::vector<std::string>& options = {}) {
    MakeRaw("raw");
    std::vector<std::string> argv = {"qemu-img", "convert", "-f", "raw", "-O", "qcow2"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.insert(argv.end(), {folder_ / "raw", folder_ / name});
    RunOk(argv);
  }
  // A disk with so many pieces of data that its conversion takes a good while.
  void MakeScattered(const std::string& name) {
    const UniqueFd fd(open((folder_ / name).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::string page = Noise(4096);
    constexpr uint64_t kStep = 32 << 10;
    for (uint64_t at = 0; at < 128 * kMiB; at += kStep) {
      ASSERT_EQ(pwrite(fd.get(), page.data(), page.size(), static_cast<off_t>(at)),
                static_cast<ssize_t>(page.size()));
    }
    ASSERT_EQ(ftruncate(fd.get(), 128 * kMiB), 0);
  }
  ConvertRequest Request(const UniqueFd& source, Format format) {
    ConvertRequest request;
    request.source_fd = source.get();
    request.source_format = format;
    request.target_path = folder_ / "target";
    request.max_virtual_size_bytes = kMaxBytes;
    return request;
  }
  absl::Status Convert(const std::string& name, Format format) {
    const UniqueFd source = OpenForReading(folder_ / name);
    return images_->Convert(Request(source, format));
  }
  void ExpectSameContent(const std::string& raw, const std::string& qcow2) {
    RunOk({"qemu-img", "compare", "-f", "raw", "-F", "qcow2", folder_ / raw, folder_ / qcow2});
  }

  TempFolder folder_;
  std::unique_ptr<DiskImages> images_ = MakeQemuDiskImages();
};

TEST_F(QemuDiskImagesTest, ConvertsRaw) {
  MakeRaw("raw");
  const absl::Status status = Convert("raw", Format::kRaw);
  ASSERT_TRUE(status.ok()) << status;
  ExpectSameContent("raw", "target");
  struct stat info {};
  ASSERT_EQ(stat((folder_ / "target").c_str(), &info), 0);
  EXPECT_LT(info.st_blocks * 512, static_cast<blkcnt_t>(3 * kMiB)) << "not sparse";
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(QemuDiskImagesTest, ConvertsEveryKindOfQcow2) {
  const std::vector<std::vector<std::string>> kinds = {{"-o", "compat=0.10"},
                                                       {"-o", "compat=1.1"},
                                                       {"-c"},
                                                       {"-c", "-o", "compression_type=zstd"},
                                                       {"-o", "cluster_size=512"},
                                                       {"-o", "extended_l2=on"}};
  for (const std::vector<std::string>& options : kinds) {
    SCOPED_TRACE(options.back());
    MakeQcow2("image", options);
    const absl::Status status = Convert("image", Format::kQcow2);
    ASSERT_TRUE(status.ok()) << status;
    ExpectSameContent("raw", "target");
    ASSERT_TRUE(RemoveFile(folder_ / "target").ok());
  }
}

TEST_F(QemuDiskImagesTest, ConvertNeedsNoPath) {
  MakeQcow2("image");
  const UniqueFd source = OpenForReading(folder_ / "image");
  ASSERT_TRUE(RemoveFile(folder_ / "image").ok());
  const absl::Status status = images_->Convert(Request(source, Format::kQcow2));
  ASSERT_TRUE(status.ok()) << status;
  ExpectSameContent("raw", "target");
}

TEST_F(QemuDiskImagesTest, ConvertReportsProgress) {
  WriteAll(folder_ / "raw", Noise(32 * kMiB));
  const UniqueFd source = OpenForReading(folder_ / "raw");
  std::vector<double> seen;
  ConvertRequest request = Request(source, Format::kRaw);
  request.progress = [&seen](double fraction) { seen.push_back(fraction); };
  ASSERT_TRUE(images_->Convert(request).ok());
  ASSERT_GE(seen.size(), 3u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_LT(seen.front(), 0.1);
  EXPECT_DOUBLE_EQ(seen.back(), 1);
}

TEST_F(QemuDiskImagesTest, ConvertStopsWhenCancelled) {
  MakeScattered("raw");
  const UniqueFd source = OpenForReading(folder_ / "raw");
  bool cancelled = false;
  double last = 0;
  ConvertRequest request = Request(source, Format::kRaw);
  request.progress = [&](double fraction) {
    last = fraction;
    cancelled = true;
  };
  request.cancelled = [&cancelled] { return cancelled; };
  const absl::Status status = images_->Convert(request);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_OPERATION_CANCELLED) << status;
  EXPECT_LT(last, 1);
  EXPECT_THAT(folder_.Names(), testing::ElementsAre("raw"));
}

TEST_F(QemuDiskImagesTest, ConvertReportsAFullDisk) {
  WriteAll(folder_ / "raw", Noise(16 * kMiB));
  ASSERT_EQ(mkdir((folder_ / "small").c_str(), 0700), 0);
  std::thread([this] {
    ASSERT_TRUE(MountPrivateTmpfs(folder_ / "small", "size=4m")) << std::strerror(errno);
    const UniqueFd source = OpenForReading(folder_ / "raw");
    ConvertRequest request = Request(source, Format::kRaw);
    request.target_path = folder_ / "small/target";
    const absl::Status status = images_->Convert(request);
    EXPECT_EQ(ReasonOf(status), ERROR_REASON_NO_SPACE) << status;
    EXPECT_NE(access(request.target_path.c_str(), F_OK), 0) << "a half-made image was left";
  }).join();
}

TEST_F(QemuDiskImagesTest, ConvertLeavesAnExistingTarget) {
  MakeRaw("raw");
  WriteAll(folder_ / "target", "precious");
  const absl::Status status = Convert("raw", Format::kRaw);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_COMMAND_FAILED) << status;
  EXPECT_EQ(ReadAll(folder_ / "target"), "precious");
}

TEST_F(QemuDiskImagesTest, ConvertChecksTheHeaderItself) {
  WriteAll(folder_ / "canary", std::string(kMiB, 'C'));
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", folder_ / "canary",
         folder_ / "image"});
  const absl::Status status = Convert("image", Format::kQcow2);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_UNSAFE) << status;
  EXPECT_THAT(folder_.Names(), testing::ElementsAre("canary", "image"));
}

// The second line of defence: even a header that gains a backing file after the check leads QEMU to
// no other file.
TEST_F(QemuDiskImagesTest, DescriptorNameHasNoBackingFile) {
  WriteAll(folder_ / "canary", std::string(kMiB, 'C'));
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", folder_ / "canary",
         folder_ / "image"});
  RunOk({"qemu-img", "convert", "-f", "qcow2", "-O", "raw", folder_ / "image", folder_ / "plain"});
  ASSERT_THAT(ReadAll(folder_ / "plain"), HasSubstr("CCCC"));

  const UniqueFd source = OpenForReading(folder_ / "image");
  CommandLimits limits = QemuImgLimits();
  limits.inherit_fds = {source.get()};
  const auto result =
      RunQemuImg({"convert", "-O", "raw", DescriptorFilename(source.get(), Format::kQcow2),
                  folder_ / "target"},
                 limits);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->exit_code, 0) << result->err;
  EXPECT_EQ(ReadAll(folder_ / "target"), std::string(kMiB, '\0'));
}

TEST_F(QemuDiskImagesTest, ConvertNoticesThatTheSourceChanges) {
  MakeRaw("raw");
  const UniqueFd source = OpenForReading(folder_ / "raw");
  const UniqueFd writer(open((folder_ / "raw").c_str(), O_WRONLY | O_CLOEXEC));
  ConvertRequest request = Request(source, Format::kRaw);
  request.progress = [&writer](double) { ASSERT_EQ(pwrite(writer.get(), "x", 1, 4096), 1); };
  const absl::Status status = images_->Convert(request);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_CORRUPT) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("changed while"));
  EXPECT_THAT(folder_.Names(), Not(Contains("target")));
}

TEST_F(QemuDiskImagesTest, ConvertFindsDamageBehindTheHeader) {
  MakeQcow2("image");
  std::string bytes = ReadAll(folder_ / "image");
  const auto u64 = [&bytes](size_t at) {
    uint64_t value = 0;
    for (size_t i = 0; i < 8; ++i) value = (value << 8) | static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  // Of the first L2 table, by way of the header's L1 offset.
  const uint64_t l2_offset = u64(u64(40)) & 0x00fffffffffffe00;
  Put64(bytes, l2_offset, uint64_t{1} << 50);  // a cluster far beyond the file
  WriteAll(folder_ / "image", bytes);

  const UniqueFd source = OpenForReading(folder_ / "image");
  ASSERT_TRUE(images_->InspectForeign(source.get(), Format::kQcow2, kMaxBytes).ok());
  const absl::Status status = Convert("image", Format::kQcow2);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_CORRUPT) << status;
  EXPECT_THAT(folder_.Names(), Not(Contains("target")));
}

TEST_F(QemuDiskImagesTest, ConvertRefusesATruncatedImage) {
  MakeQcow2("image");
  ASSERT_EQ(truncate((folder_ / "image").c_str(), 512 << 10), 0);  // within the data
  const absl::Status status = Convert("image", Format::kQcow2);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_CORRUPT) << status;
  EXPECT_THAT(folder_.Names(), Not(Contains("target")));
}

TEST_F(QemuDiskImagesTest, ConvertRefusesDamagedCompressedData) {
  // Noise would not compress, and be stored as it is.
  WriteAll(folder_ / "raw", std::string(4 * kMiB, 'a') + std::string(4 * kMiB, 'b'));
  RunOk({"qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", folder_ / "raw",
         folder_ / "image"});
  std::string bytes = ReadAll(folder_ / "image");
  constexpr size_t kFirstDataByte = 5ul * 65536;
  ASSERT_GT(bytes.size(), kFirstDataByte + 64);
  for (size_t i = 0; i < 64; ++i) bytes[kFirstDataByte + i] = '\xff';
  WriteAll(folder_ / "image", bytes);
  const absl::Status status = Convert("image", Format::kQcow2);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_CORRUPT) << status;
  EXPECT_THAT(folder_.Names(), Not(Contains("target")));
}

TEST_F(QemuDiskImagesTest, ConvertRefusesAnImageInUse) {
  MakeQcow2("image");
  const UniqueFd user(open((folder_ / "image").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(LockAsWriter(user));
  const absl::Status qcow2 = Convert("image", Format::kQcow2);
  EXPECT_EQ(ReasonOf(qcow2), ERROR_REASON_IMAGE_IN_USE) << qcow2;
  const UniqueFd raw_user(open((folder_ / "raw").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(LockAsWriter(raw_user));
  const absl::Status raw = Convert("raw", Format::kRaw);
  EXPECT_EQ(ReasonOf(raw), ERROR_REASON_IMAGE_IN_USE) << raw;
  EXPECT_THAT(folder_.Names(), Not(Contains("target")));
}

TEST_F(QemuDiskImagesTest, ConvertMessagesNameNoPath) {
  MakeRaw("raw");
  WriteAll(folder_ / "target", "");
  EXPECT_THAT(std::string(Convert("raw", Format::kRaw).message()), Not(HasSubstr(folder_.path())));
}

TEST_F(QemuDiskImagesTest, OverlayHasItsSizeAndBase) {
  MakeQcow2("base");
  const absl::Status status =
      images_->CreateOverlay(folder_ / "disk", folder_ / "base", 256 * kMiB);
  ASSERT_TRUE(status.ok()) << status;
  const nlohmann::json info = QemuImgInfo(folder_ / "disk");
  EXPECT_EQ(info["virtual-size"], 256 * kMiB);
  EXPECT_EQ(info["format"], "qcow2");
  EXPECT_EQ(info["backing-filename"], folder_ / "base");
  EXPECT_EQ(info["backing-filename-format"], "qcow2");
  // compare takes what is beyond the shorter one's end for equal when it is zeros.
  ExpectSameContent("raw", "disk");
  struct stat file {};
  ASSERT_EQ(stat((folder_ / "disk").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_THAT(folder_.Names(), testing::ElementsAre("base", "disk", "raw"));
}

TEST_F(QemuDiskImagesTest, OverlayReplacesAHalfMadeFile) {
  MakeQcow2("base");
  WriteAll(folder_ / "disk", std::string(8 * kMiB, 'x'));
  ASSERT_TRUE(images_->CreateOverlay(folder_ / "disk", folder_ / "base", 64 * kMiB).ok());
  ExpectSameContent("raw", "disk");
  ASSERT_TRUE(images_->CreateOverlay(folder_ / "disk", folder_ / "base", 128 * kMiB).ok());
  EXPECT_EQ(QemuImgInfo(folder_ / "disk")["virtual-size"], 128 * kMiB);
}

TEST_F(QemuDiskImagesTest, OverlayOnABaseThatAGuestReads) {
  MakeQcow2("base");
  ASSERT_TRUE(images_->CreateOverlay(folder_ / "one", folder_ / "base", 64 * kMiB).ok());
  // A running guest's overlay is locked for writing; its base is shared.
  const UniqueFd guest(open((folder_ / "one").c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_TRUE(LockAsWriter(guest));
  EXPECT_TRUE(images_->CreateOverlay(folder_ / "two", folder_ / "base", 64 * kMiB).ok());
  const auto info = images_->Inspect(folder_ / "one");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->virtual_size_bytes, 64 * kMiB);
}

TEST_F(QemuDiskImagesTest, OverlayIsNotSmallerThanItsBase) {
  MakeQcow2("base");
  const absl::Status status =
      images_->CreateOverlay(folder_ / "disk", folder_ / "base", 64 * kMiB - 512);
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_DISK_TOO_SMALL) << status;
  EXPECT_THAT(folder_.Names(), Not(Contains("disk")));
}

TEST_F(QemuDiskImagesTest, OverlayNeedsAQcow2Base) {
  MakeRaw("raw");
  EXPECT_EQ(ReasonOf(images_->CreateOverlay(folder_ / "disk", folder_ / "raw", 64 * kMiB)),
            ERROR_REASON_IMAGE_CORRUPT);
  EXPECT_EQ(ReasonOf(images_->CreateOverlay(folder_ / "disk", folder_ / "absent", 64 * kMiB)),
            ERROR_REASON_COMMAND_FAILED);
  EXPECT_FALSE(images_->CreateOverlay(folder_ / "disk", "raw", 64 * kMiB).ok());
  EXPECT_THAT(folder_.Names(), testing::ElementsAre("raw"));
}

TEST_F(QemuDiskImagesTest, CreateReportsAFullDisk) {
  MakeQcow2("base");
  ASSERT_EQ(mkdir((folder_ / "small").c_str(), 0700), 0);
  std::thread([this] {
    ASSERT_TRUE(MountPrivateTmpfs(folder_ / "small", "size=4k")) << std::strerror(errno);
    const absl::Status overlay =
        images_->CreateOverlay(folder_ / "small/disk", folder_ / "base", 64 * kMiB);
    EXPECT_EQ(ReasonOf(overlay), ERROR_REASON_NO_SPACE) << overlay;
    const absl::Status empty = images_->CreateEmpty(folder_ / "small/disk", 64 * kMiB);
    EXPECT_EQ(ReasonOf(empty), ERROR_REASON_NO_SPACE) << empty;
    EXPECT_NE(access((folder_ / "small/disk").c_str(), F_OK), 0) << "a half-made disk was left";
  }).join();
}

TEST_F(QemuDiskImagesTest, CreatesAnEmptyDisk) {
  WriteAll(folder_ / "disk", "half-made");
  const absl::Status status = images_->CreateEmpty(folder_ / "disk", 10 * kMiB);
  ASSERT_TRUE(status.ok()) << status;
  const nlohmann::json info = QemuImgInfo(folder_ / "disk");
  EXPECT_EQ(info["virtual-size"], 10 * kMiB);
  EXPECT_FALSE(info.contains("backing-filename"));
  RunOk({"qemu-img", "check", "-q", "-f", "qcow2", folder_ / "disk"});
}

TEST_F(QemuDiskImagesTest, RefusesSizesThatAreNoDisk) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1}, 10 * kMiB + 1}) {
    EXPECT_EQ(ReasonOf(images_->CreateEmpty(folder_ / "disk", bytes)), ERROR_REASON_INVALID_FIELD);
  }
  EXPECT_FALSE(images_->CreateEmpty(folder_ / "disk", uint64_t{1} << 62).ok());
  EXPECT_FALSE(images_->CreateEmpty("disk", kMiB).ok());
  EXPECT_THAT(folder_.Names(), IsEmpty());
}

TEST_F(QemuDiskImagesTest, InspectsOwnDisks) {
  MakeQcow2("base");
  const auto info = images_->Inspect(folder_ / "base");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->virtual_size_bytes, 64 * kMiB);
  EXPECT_GE(info->stored_size_bytes, kMiB);
  EXPECT_LT(info->stored_size_bytes, 3 * kMiB);
  EXPECT_EQ(ReasonOf(images_->Inspect(folder_ / "absent").status()), ERROR_REASON_COMMAND_FAILED);
  EXPECT_EQ(ReasonOf(images_->Inspect(folder_ / "raw").status()), ERROR_REASON_COMMAND_FAILED);
}

}  // namespace
}  // namespace cvm::images
