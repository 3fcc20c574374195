// SPDX-License-Identifier: Apache-2.0
//
// qcow2 images: good ones of every kind, and a table of hostile headers.
#include <unistd.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "drivers/images/foreign_image.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/drivers/images/image_files.h"

namespace cvm::images {
namespace {

using common::v1::ERROR_REASON_IMAGE_CORRUPT;
using common::v1::ERROR_REASON_IMAGE_FORMAT_MISMATCH;
using common::v1::ERROR_REASON_IMAGE_TOO_LARGE;
using common::v1::ERROR_REASON_IMAGE_UNSAFE;
using testing::HasSubstr;

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kMaxBytes = 1024 * kMiB;

absl::StatusOr<ImageInfo> Inspect(const std::string& path, uint64_t max_bytes = kMaxBytes) {
  const UniqueFd fd = OpenForReading(path);
  return InspectForeignImage(fd.get(), Format::kQcow2, max_bytes);
}

// Offsets of the header's fields.
enum Field : size_t {
  kVersion = 4,
  kBackingOffset = 8,
  kBackingSize = 16,
  kClusterBits = 20,
  kSize = 24,
  kCryptMethod = 32,
  kL1Size = 36,
  kL1Offset = 40,
  kRefcountOffset = 48,
  kRefcountClusters = 56,
  kSnapshots = 60,
  kIncompatible = 72,
  kAutoclear = 88,
  kRefcountOrder = 96,
  kHeaderLength = 100,
  kCompressionType = 104,
  kExtensions = 112,
};

struct HostileCase {
  std::string_view name;
  std::function<void(std::string&)> spoil;
  ErrorReason reason;
  std::string_view compat = "1.1";
};

void PrintTo(const HostileCase& hostile, std::ostream* out) { *out << hostile.name; }

auto Set32(size_t offset, uint32_t value) {
  return [=](std::string& bytes) { Put32(bytes, offset, value); };
}
auto Set64(size_t offset, uint64_t value) {
  return [=](std::string& bytes) { Put64(bytes, offset, value); };
}
// One header extension in the place of those that qemu-img wrote.
auto Extension(uint32_t type, uint32_t length, size_t offset = kExtensions) {
  return [=](std::string& bytes) {
    Put32(bytes, offset, type);
    Put32(bytes, offset + 4, length);
    for (size_t at = offset + 8; at < offset + 512; at += 8) Put64(bytes, at, 0);
  };
}
auto Cut(size_t length) {
  return [=](std::string& bytes) { bytes.resize(length); };
}
uint64_t At64(const std::string& bytes, size_t offset) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i)
    value = (value << 8) | static_cast<unsigned char>(bytes[offset + i]);
  return value;
}
// Spoils the first L1 entry.
auto SetL1Entry(uint64_t value) {
  return [=](std::string& bytes) { Put64(bytes, At64(bytes, kL1Offset), value); };
}

class HostileQcow2 : public testing::TestWithParam<HostileCase> {
 protected:
  TempFolder folder_;
};

// 64 MiB in clusters of 64 KiB: one L1 entry, one L2 table, 1 MiB of data.
std::string MakeGoodImage(std::string_view compat) {
  const TempFolder folder;
  WriteAll(folder / "raw", Noise(kMiB));
  EXPECT_EQ(truncate((folder / "raw").c_str(), 64 * kMiB), 0);
  RunOk({"qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", "compat=" + std::string(compat),
         folder / "raw", folder / "good"});
  return ReadAll(folder / "good");
}

std::string GoodImage(std::string_view compat) {
  static const std::string version2 = MakeGoodImage("0.10");
  static const std::string version3 = MakeGoodImage("1.1");
  return compat == "0.10" ? version2 : version3;
}

TEST_P(HostileQcow2, IsRefused) {
  const HostileCase& param = GetParam();
  std::string bytes = GoodImage(param.compat);
  WriteAll(folder_ / "good", bytes);
  ASSERT_TRUE(Inspect(folder_ / "good").ok());
  param.spoil(bytes);
  WriteAll(folder_ / "bad", bytes);
  const absl::Status status = Inspect(folder_ / "bad").status();
  EXPECT_EQ(ReasonName(ReasonOf(status)), ReasonName(param.reason)) << status;
}

constexpr uint64_t kHuge = 0xffffffffffffffff;
constexpr uint64_t kCluster = 65536;

INSTANTIATE_TEST_SUITE_P(
    Header, HostileQcow2,
    testing::Values(
        HostileCase{"Version0", Set32(kVersion, 0), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"Version1", Set32(kVersion, 1), ERROR_REASON_IMAGE_FORMAT_MISMATCH},
        HostileCase{"Version4", Set32(kVersion, 4), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"BackingFile",
                    [](std::string& bytes) {
                      Put64(bytes, kBackingOffset, 512);
                      Put32(bytes, kBackingSize, 13);
                      bytes.replace(512, 13, "/etc/hostname");
                    },
                    ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"BackingFileVersion2",
                    [](std::string& bytes) {
                      Put64(bytes, kBackingOffset, 512);
                      Put32(bytes, kBackingSize, 13);
                      bytes.replace(512, 13, "/etc/hostname");
                    },
                    ERROR_REASON_IMAGE_UNSAFE, "0.10"},
        HostileCase{"BackingOffsetOnly", Set64(kBackingOffset, 512), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"BackingSizeOnly", Set32(kBackingSize, 13), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"BackingOffsetHuge", Set64(kBackingOffset, kHuge), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"ClusterBits8", Set32(kClusterBits, 8), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"ClusterBits22", Set32(kClusterBits, 22), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"ClusterBits64", Set32(kClusterBits, 64), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"ClusterBitsHuge", Set32(kClusterBits, 0xffffffff), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"Size0", Set64(kSize, 0), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"SizeOdd", Set64(kSize, 64 * kMiB - 1), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"SizeAboveTheLimit", Set64(kSize, kMaxBytes + 512),
                    ERROR_REASON_IMAGE_TOO_LARGE},
        HostileCase{"SizeHuge", Set64(kSize, kHuge), ERROR_REASON_IMAGE_TOO_LARGE},
        HostileCase{"SizeNegative", Set64(kSize, uint64_t{1} << 63), ERROR_REASON_IMAGE_TOO_LARGE},
        HostileCase{"EncryptedAes", Set32(kCryptMethod, 1), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"EncryptedLuks", Set32(kCryptMethod, 2), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"EncryptedVersion2", Set32(kCryptMethod, 1), ERROR_REASON_IMAGE_UNSAFE, "0.10"},
        HostileCase{"L1Size0", Set32(kL1Size, 0), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1TooSmallForSize", Set64(kSize, kMaxBytes), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1BeyondTheFile", Set32(kL1Size, 1 << 20), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1SizeHuge", Set32(kL1Size, 0xffffffff), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1Offset0", Set64(kL1Offset, 0), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1OffsetUnaligned", Set64(kL1Offset, 3 * kCluster + 8),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1OffsetBeyondTheFile", Set64(kL1Offset, kCluster << 20),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1OffsetWraps", Set64(kL1Offset, kHuge & ~(kCluster - 1)),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1OnTheRefcountTable", Set64(kL1Offset, kCluster), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1EntryBeyondTheFile", SetL1Entry(uint64_t{1} << 40),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1EntryUnaligned", SetL1Entry(kCluster + 512), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1EntryReservedBits", SetL1Entry(kCluster | 1), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"L1EntryReservedHighBits", SetL1Entry(uint64_t{1} << 56),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountOffset0", Set64(kRefcountOffset, 0), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountOffsetUnaligned", Set64(kRefcountOffset, kCluster + 1),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountOffsetBeyondTheFile", Set64(kRefcountOffset, kCluster << 20),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountClusters0", Set32(kRefcountClusters, 0), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountClustersBeyondTheFile", Set32(kRefcountClusters, 100),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountClustersHuge", Set32(kRefcountClusters, 0xffffffff),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"Snapshots", Set32(kSnapshots, 1), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"SnapshotsHuge", Set32(kSnapshots, 0xffffffff), ERROR_REASON_IMAGE_UNSAFE}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Version3, HostileQcow2,
    testing::Values(
        HostileCase{"Dirty", Set64(kIncompatible, 1), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"MarkedCorrupt", Set64(kIncompatible, 2), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"ExternalDataFile", Set64(kIncompatible, 4), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"RawExternalDataFile", Set64(kAutoclear, 2), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"UnknownFeature", Set64(kIncompatible, 1 << 5), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"UnknownHighFeature", Set64(kIncompatible, uint64_t{1} << 63),
                    ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"UnknownFeatureAndDirty", Set64(kIncompatible, 0x41),
                    ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"CompressionBitWithZlib", Set64(kIncompatible, 8), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"ZstdWithoutBit", Set32(kCompressionType, 1 << 24), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"UnknownCompression",
                    [](std::string& bytes) {
                      Put64(bytes, kIncompatible, 8);
                      Put32(bytes, kCompressionType, 2 << 24);
                    },
                    ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"ExtendedL2NeedsMoreL1",
                    [](std::string& bytes) {
                      Put64(bytes, kIncompatible, 16);
                      Put64(bytes, kSize, 512 * kMiB);
                    },
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountOrder7", Set32(kRefcountOrder, 7), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"RefcountOrderHuge", Set32(kRefcountOrder, 0xffffffff),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"HeaderLength0", Set32(kHeaderLength, 0), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"HeaderLength72", Set32(kHeaderLength, 72), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"HeaderLengthUnaligned", Set32(kHeaderLength, 113), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"HeaderLengthAboveTheCluster", Set32(kHeaderLength, kCluster + 8),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"HeaderLengthHuge", Set32(kHeaderLength, 0xfffffff8),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"BackingFormatExtension", Extension(0xe2792aca, 5), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"LuksExtension", Extension(0x0537be77, 16), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"DataFileExtension", Extension(0x44415441, 13), ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"DataFileExtensionVersion2", Extension(0x44415441, 13, 72),
                    ERROR_REASON_IMAGE_UNSAFE, "0.10"},
        HostileCase{"DataFileExtensionBehindAnother",
                    [](std::string& bytes) {
                      Extension(0x12345678, 3)(bytes);
                      Extension(0x44415441, 13, kExtensions + 16)(bytes);
                    },
                    ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"DataFileExtensionWithoutData", Extension(0x44415441, 0),
                    ERROR_REASON_IMAGE_UNSAFE},
        HostileCase{"ExtensionOverrunsTheCluster", Extension(0x12345678, kCluster),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"ExtensionLengthWraps", Extension(0x12345678, 0xffffffff),
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"ExtensionAtTheClustersEnd",
                    [](std::string& bytes) {
                      Put32(bytes, kHeaderLength, kCluster - 8);
                      Put32(bytes, kCluster - 8, 0x12345678);
                      Put32(bytes, kCluster - 4, 8);
                    },
                    ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"BitmapsOfWrongLength", Extension(0x23852875, 16), ERROR_REASON_IMAGE_CORRUPT},
        HostileCase{"BitmapsOutOfRange",
                    [](std::string& bytes) {
                      Extension(0x23852875, 24)(bytes);
                      Put32(bytes, kExtensions + 8, 1);
                      Put64(bytes, kExtensions + 16, kHuge);
                      Put64(bytes, kExtensions + 24, kCluster);
                    },
                    ERROR_REASON_IMAGE_CORRUPT}),
    [](const auto& info) { return std::string(info.param.name); });

INSTANTIATE_TEST_SUITE_P(
    Truncated, HostileQcow2,
    testing::Values(HostileCase{"InTheMagic", Cut(3), ERROR_REASON_IMAGE_FORMAT_MISMATCH},
                    HostileCase{"AfterTheMagic", Cut(4), ERROR_REASON_IMAGE_CORRUPT},
                    HostileCase{"InTheHeader", Cut(71), ERROR_REASON_IMAGE_CORRUPT},
                    HostileCase{"InTheVersion3Header", Cut(103), ERROR_REASON_IMAGE_CORRUPT},
                    HostileCase{"InTheExtensions", Cut(120), ERROR_REASON_IMAGE_CORRUPT},
                    HostileCase{"BeforeTheTables", Cut(kCluster), ERROR_REASON_IMAGE_CORRUPT},
                    HostileCase{"InTheRefcountTable", Cut(kCluster + 100),
                                ERROR_REASON_IMAGE_CORRUPT},
                    HostileCase{"BeforeTheL2Table", Cut(4 * kCluster), ERROR_REASON_IMAGE_CORRUPT}),
    [](const auto& info) { return std::string(info.param.name); });

class GoodQcow2 : public testing::TestWithParam<std::string> {
 protected:
  TempFolder folder_;
};

TEST_P(GoodQcow2, GivesItsSizes) {
  WriteAll(folder_ / "raw", Noise(kMiB));
  ASSERT_EQ(truncate((folder_ / "raw").c_str(), 48 * kMiB), 0);
  std::vector<std::string> convert = {"qemu-img", "convert", "-f", "raw", "-O", "qcow2"};
  if (GetParam() == "compressed") {
    convert.emplace_back("-c");
  } else {
    convert.insert(convert.end(), {"-o", GetParam()});
  }
  convert.insert(convert.end(), {folder_ / "raw", folder_ / "image"});
  RunOk(convert);
  const auto info = Inspect(folder_ / "image", 48 * kMiB);
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->virtual_size_bytes, 48 * kMiB);
  EXPECT_GE(info->stored_size_bytes, kMiB);
  EXPECT_EQ(ReasonOf(Inspect(folder_ / "image", 48 * kMiB - 1).status()),
            ERROR_REASON_IMAGE_TOO_LARGE);
}

INSTANTIATE_TEST_SUITE_P(
    ForeignImage, GoodQcow2,
    testing::Values("compat=0.10", "compat=1.1", "compressed", "compat=1.1,compression_type=zstd",
                    "compat=1.1,extended_l2=on", "compat=1.1,lazy_refcounts=on",
                    "compat=1.1,refcount_bits=1", "compat=1.1,refcount_bits=64", "cluster_size=512",
                    "cluster_size=2M", "preallocation=metadata", "preallocation=falloc"));

TEST(ForeignQcow2, AcceptsAnEmptyImageOfTheLargestSize) {
  TempFolder folder;
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", folder / "image", "16T"});
  EXPECT_TRUE(Inspect(folder / "image", uint64_t{16} << 40).ok());
}

TEST(ForeignQcow2, AcceptsUnknownExtensionsAndBitmaps) {
  TempFolder folder;
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", folder / "image", "64M"});
  RunOk({"qemu-img", "bitmap", "--add", "-f", "qcow2", folder / "image", "b0"});
  EXPECT_TRUE(Inspect(folder / "image").ok());
  std::string bytes = GoodImage("1.1");
  Extension(0x12345678, 40)(bytes);
  WriteAll(folder / "unknown", bytes);
  EXPECT_TRUE(Inspect(folder / "unknown").ok());
}

// As qemu-img makes them, without a hand in it.
TEST(ForeignQcow2, RefusesRealImagesThatNameOtherFiles) {
  TempFolder folder;
  WriteAll(folder / "canary", std::string(kMiB, 'C'));
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", folder / "canary",
         folder / "backed"});
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", "-o",
         "data_file=" + (folder / "data") + ",data_file_raw=on", folder / "split", "1M"});
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", folder / "snapshots", "1M"});
  RunOk({"qemu-img", "snapshot", "-c", "one", folder / "snapshots"});
  for (const char* name : {"backed", "split", "snapshots"}) {
    const absl::Status status = Inspect(folder / name).status();
    EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_UNSAFE) << name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("qemu-img convert")) << name;
  }
}

TEST(ForeignQcow2, RefusesAFileFarLargerThanItsDisk) {
  TempFolder folder;
  RunOk({"qemu-img", "create", "-q", "-f", "qcow2", folder / "image", "64M"});
  ASSERT_EQ(truncate((folder / "image").c_str(), off_t{1} << 40), 0);
  const absl::Status status = Inspect(folder / "image").status();
  EXPECT_EQ(ReasonOf(status), ERROR_REASON_IMAGE_TOO_LARGE) << status;
}

}  // namespace
}  // namespace cvm::images
