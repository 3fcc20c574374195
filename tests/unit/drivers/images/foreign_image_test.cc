// SPDX-License-Identifier: Apache-2.0
//
// Raw images, and images that are not in the format that was stated.
#include "drivers/images/foreign_image.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/drivers/images/image_files.h"

namespace cvm::images {
namespace {

using common::v1::ERROR_REASON_IMAGE_CORRUPT;
using common::v1::ERROR_REASON_IMAGE_FORMAT_MISMATCH;
using common::v1::ERROR_REASON_IMAGE_TOO_LARGE;
using common::v1::ERROR_REASON_IMAGE_UNSAFE;
using std::string_view_literals::operator""sv;
using testing::HasSubstr;

constexpr uint64_t kMaxBytes = uint64_t{1} << 30;

absl::StatusOr<ImageInfo> Inspect(const std::string& path, Format format,
                                  uint64_t max_bytes = kMaxBytes) {
  const UniqueFd fd = OpenForReading(path);
  return InspectForeignImage(fd.get(), format, max_bytes);
}

struct MagicCase {
  std::string_view name;
  size_t offset;  // from the end when at_end
  std::string_view magic;
  std::string_view shown;
  bool at_end = false;
};

void PrintTo(const MagicCase& magic, std::ostream* out) { *out << magic.name; }

class RawWithMagic : public testing::TestWithParam<MagicCase> {
 protected:
  TempFolder folder_;
};

TEST_P(RawWithMagic, IsRefused) {
  const MagicCase& param = GetParam();
  std::string content(64 << 10, '\0');
  const size_t offset = param.at_end ? content.size() - param.offset : param.offset;
  content.replace(offset, param.magic.size(), param.magic);
  WriteAll(folder_ / "image", content);

  const absl::Status raw = Inspect(folder_ / "image", Format::kRaw).status();
  EXPECT_EQ(ReasonOf(raw), ERROR_REASON_IMAGE_FORMAT_MISMATCH) << raw;
  EXPECT_THAT(std::string(raw.message()), HasSubstr(std::string(param.shown)));
  if (param.shown == "qcow2") return;
  const absl::Status qcow2 = Inspect(folder_ / "image", Format::kQcow2).status();
  EXPECT_EQ(ReasonOf(qcow2), ERROR_REASON_IMAGE_FORMAT_MISMATCH) << qcow2;
}

INSTANTIATE_TEST_SUITE_P(
    ForeignImage, RawWithMagic,
    testing::Values(
        MagicCase{"Qcow2", 0, "QFI\xfb\0\0\0\3"sv, "qcow2"}, MagicCase{"Qed", 0, "QED\0"sv, "QED"},
        MagicCase{"VmdkSparse", 0, "KDMV"sv, "VMDK"}, MagicCase{"VmdkCow", 0, "COWD"sv, "VMDK"},
        MagicCase{"VmdkDescriptor", 0, "# Disk DescriptorFile\nversion=1\n"sv, "VMDK"},
        MagicCase{"VmdkDescriptorAfterComments", 0, "\n  # any text\r\n\r\n  version=1\n"sv,
                  "VMDK"},
        MagicCase{"Vhdx", 0, "vhdxfile"sv, "VHDX"}, MagicCase{"VhdDynamic", 0, "conectix"sv, "VHD"},
        MagicCase{"VhdFixed", 512, "conectix"sv, "VHD", true},
        MagicCase{"VhdFixedShortFooter", 511, "conectix"sv, "VHD", true},
        MagicCase{"Vdi", 0x40, "\x7f\x10\xda\xbe"sv, "VDI"},
        MagicCase{"Luks", 0, "LUKS\xba\xbe\0\1"sv, "LUKS"},
        MagicCase{"Parallels", 0, "WithoutFreeSpace"sv, "Parallels"},
        MagicCase{"ParallelsExtended", 0, "WithouFreSpacExt"sv, "Parallels"},
        MagicCase{"Bochs", 0, "Bochs Virtual HD Image"sv, "Bochs"},
        MagicCase{"Cloop", 0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"sv, "cloop"},
        MagicCase{"Dmg", 512, "koly"sv, "DMG", true},
        MagicCase{"Gzip", 0, "\x1f\x8b\x08\0"sv, "gzip"},
        MagicCase{"Xz", 0,
                  "\xfd"
                  "7zXZ\0"sv,
                  "xz"},
        MagicCase{"Zstd", 0, "\x28\xb5\x2f\xfd"sv, "zstd"},
        MagicCase{"Lz4", 0, "\x04\x22\x4d\x18"sv, "lz4"},
        MagicCase{"Bzip2", 0, "BZh9\x31\x41\x59\x26\x53\x59"sv, "bzip2"},
        MagicCase{"SevenZip", 0, "7z\xbc\xaf\x27\x1c"sv, "7z"},
        MagicCase{"Zip", 0, "PK\x03\x04"sv, "zip"},
        MagicCase{"Rar", 0, "Rar!\x1a\x07\x01\0"sv, "rar"},
        MagicCase{"Ova", 257, "ustar"sv, "tar"}),
    [](const auto& info) { return std::string(info.param.name); });

class RealFormat : public testing::TestWithParam<std::string> {
 protected:
  TempFolder folder_;
};

TEST_P(RealFormat, IsRefusedAsRawAndAsQcow2) {
  RunOk({"qemu-img", "create", "-q", "-f", GetParam(), folder_ / "image", "64M"});
  for (const Format format : {Format::kRaw, Format::kQcow2}) {
    const absl::Status status = Inspect(folder_ / "image", format).status();
    EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_FORMAT_MISMATCH) << status;
  }
}

INSTANTIATE_TEST_SUITE_P(ForeignImage, RealFormat,
                         testing::Values("vmdk", "vdi", "vpc", "vhdx", "qed", "parallels", "qcow"),
                         [](const auto& info) { return info.param; });

class ForeignRaw : public testing::Test {
 protected:
  void Create(off_t bytes) {
    WriteAll(folder_ / "image", "");
    ASSERT_EQ(truncate((folder_ / "image").c_str(), bytes), 0);
  }

  TempFolder folder_;
};

TEST_F(ForeignRaw, GivesItsSizes) {
  WriteAll(folder_ / "image", Noise(64 << 10));
  ASSERT_EQ(truncate((folder_ / "image").c_str(), 8 << 20), 0);
  const auto info = Inspect(folder_ / "image", Format::kRaw);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->virtual_size_bytes, uint64_t{8} << 20);
  EXPECT_GE(info->stored_size_bytes, uint64_t{64} << 10);
  EXPECT_LT(info->stored_size_bytes, uint64_t{1} << 20);
}

TEST_F(ForeignRaw, AcceptsOneSectorOfZeros) {
  Create(512);
  EXPECT_TRUE(Inspect(folder_ / "image", Format::kRaw).ok());
}

TEST_F(ForeignRaw, AcceptsBootCodeThatLooksLikeNothing) {
  std::string sector(4096, '\0');
  sector.replace(0, 4, "BZh0");  // no bzip2 without the magic of a block
  WriteAll(folder_ / "image", sector);
  EXPECT_TRUE(Inspect(folder_ / "image", Format::kRaw).ok());
}

TEST_F(ForeignRaw, RefusesAnEmptyFile) {
  Create(0);
  EXPECT_EQ(ReasonOf(Inspect(folder_ / "image", Format::kRaw).status()),
            ERROR_REASON_IMAGE_CORRUPT);
  EXPECT_EQ(ReasonOf(Inspect(folder_ / "image", Format::kQcow2).status()),
            ERROR_REASON_IMAGE_FORMAT_MISMATCH);
}

TEST_F(ForeignRaw, RefusesPartOfASector) {
  for (const off_t bytes : {1, 511, 513, 1048577}) {
    Create(bytes);
    EXPECT_EQ(ReasonOf(Inspect(folder_ / "image", Format::kRaw).status()),
              ERROR_REASON_IMAGE_CORRUPT)
        << bytes;
  }
}

TEST_F(ForeignRaw, HoldsTheLimitExactly) {
  Create(4096);
  EXPECT_TRUE(Inspect(folder_ / "image", Format::kRaw, 4096).ok());
  const absl::Status status = Inspect(folder_ / "image", Format::kRaw, 4095).status();
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_TOO_LARGE) << status;
  EXPECT_EQ(ErrorInfoOf(status)->metadata().at("limit"), "4095");
}

TEST_F(ForeignRaw, IsNoQcow2) {
  Create(4096);
  const absl::Status status = Inspect(folder_ / "image", Format::kQcow2).status();
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_FORMAT_MISMATCH) << status;
}

TEST_F(ForeignRaw, RefusesWhatIsNoRegularFile) {
  const std::string fifo = folder_ / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd open_fifo(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  const UniqueFd open_folder(open(folder_.path().c_str(), O_RDONLY | O_CLOEXEC));
  const UniqueFd open_device(open("/dev/zero", O_RDONLY | O_CLOEXEC));
  for (const UniqueFd* fd : {&open_fifo, &open_folder, &open_device}) {
    EXPECT_EQ(ReasonOf(InspectForeignImage(fd->get(), Format::kRaw, kMaxBytes).status()),
              ERROR_REASON_IMAGE_UNSAFE);
  }
  EXPECT_FALSE(InspectForeignImage(-1, Format::kRaw, kMaxBytes).ok());
}

TEST_F(ForeignRaw, LeavesTheDescriptorsOffset) {
  Create(4096);
  const UniqueFd fd = OpenForReading(folder_ / "image");
  ASSERT_EQ(lseek(fd.get(), 100, SEEK_SET), 100);
  ASSERT_TRUE(InspectForeignImage(fd.get(), Format::kRaw, kMaxBytes).ok());
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 100);
}

TEST_F(ForeignRaw, MessagesNameNoPath) {
  Create(513);
  const absl::Status status = Inspect(folder_ / "image", Format::kRaw).status();
  EXPECT_THAT(std::string(status.message()), testing::Not(HasSubstr(folder_.path())));
}

}  // namespace
}  // namespace cvm::images
