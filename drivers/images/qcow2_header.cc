// SPDX-License-Identifier: Apache-2.0
//
// The format is described in QEMU's docs/interop/qcow2.txt; all numbers are big-endian. The bounds
// are those of the description, or tighter.
#include "drivers/images/qcow2_header.h"

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::images {
namespace {

constexpr std::string_view kMagic = "QFI\xfb";
constexpr size_t kVersion2HeaderBytes = 72;
constexpr size_t kVersion3HeaderBytes = 104;
constexpr uint32_t kMinClusterBits = 9;
constexpr uint32_t kMaxClusterBits = 21;
constexpr uint32_t kMaxRefcountOrder = 6;
constexpr uint64_t kMaxL1Bytes = 32 << 20;
constexpr uint64_t kMaxRefcountTableBytes = 8 << 20;
constexpr uint64_t kMaxBitmaps = 65535;

constexpr uint64_t kIncompatibleDirty = 1 << 0;
constexpr uint64_t kIncompatibleCorrupt = 1 << 1;
constexpr uint64_t kIncompatibleDataFile = 1 << 2;
constexpr uint64_t kIncompatibleCompression = 1 << 3;
constexpr uint64_t kIncompatibleExtendedL2 = 1 << 4;
constexpr uint64_t kIncompatibleKnown = kIncompatibleDirty | kIncompatibleCorrupt |
                                        kIncompatibleDataFile | kIncompatibleCompression |
                                        kIncompatibleExtendedL2;
constexpr uint64_t kAutoclearRawData = 1 << 1;

constexpr uint32_t kExtensionEnd = 0;
constexpr uint32_t kExtensionBackingFormat = 0xe2792aca;
constexpr uint32_t kExtensionEncryption = 0x0537be77;
constexpr uint32_t kExtensionDataFile = 0x44415441;
constexpr uint32_t kExtensionBitmaps = 0x23852875;

// Of an L1 entry: the offset of its L2 table; the rest but the top bit is reserved.
constexpr uint64_t kL1OffsetMask = 0x00fffffffffffe00;
constexpr uint64_t kL1ReservedMask = 0x7f000000000001ff;

absl::Status Corrupt(std::string_view problem) {
  return Error(common::v1::ERROR_REASON_IMAGE_CORRUPT,
               fmt::format("the qcow2 image is damaged: {}; copy it again, or look at it with "
                           "qemu-img check",
                           problem));
}

absl::Status Unsafe(std::string_view problem) {
  return Error(common::v1::ERROR_REASON_IMAGE_UNSAFE,
               fmt::format("the qcow2 image is refused: {}; make it one plain file with "
                           "qemu-img convert -O qcow2",
                           problem));
}

struct Table {
  std::string_view name;
  uint64_t offset;
  uint64_t bytes;
};

class HeaderReader {
 public:
  HeaderReader(const ImageSource& source, uint64_t max_virtual_size_bytes)
      : source_(source), max_virtual_size_bytes_(max_virtual_size_bytes) {}

  absl::StatusOr<Qcow2Header> Read() {
    CVM_ASSIGN_OR_RETURN(bytes_, source_.ReadUpTo(0, kVersion3HeaderBytes + 8));
    CVM_RETURN_IF_ERROR(CheckVersion());
    CVM_RETURN_IF_ERROR(CheckFeatures());
    CVM_RETURN_IF_ERROR(CheckReferences());
    CVM_RETURN_IF_ERROR(CheckSize());
    CVM_RETURN_IF_ERROR(CheckExtensions());
    CVM_RETURN_IF_ERROR(CheckTables());
    CVM_RETURN_IF_ERROR(CheckL1Entries());
    return header_;
  }

 private:
  uint32_t U32(size_t offset) const { return BigEndian32(bytes_, offset); }
  uint64_t U64(size_t offset) const { return BigEndian64(bytes_, offset); }
  uint64_t ClusterBytes() const { return uint64_t{1} << header_.cluster_bits; }

  absl::Status CheckVersion() {
    if (std::string_view(bytes_).substr(0, kMagic.size()) != kMagic) {
      return Error(common::v1::ERROR_REASON_IMAGE_FORMAT_MISMATCH, "the image is not qcow2");
    }
    if (bytes_.size() < kVersion2HeaderBytes) return Corrupt("the file ends within the header");
    header_.version = U32(4);
    if (header_.version == 1) {
      return Error(common::v1::ERROR_REASON_IMAGE_FORMAT_MISMATCH,
                   "the image is in the old qcow format, not qcow2; convert it with qemu-img");
    }
    if (header_.version != 2 && header_.version != 3) {
      return Unsafe(fmt::format("version {} of the format is unknown", header_.version));
    }
    header_.cluster_bits = U32(20);
    if (header_.cluster_bits < kMinClusterBits || header_.cluster_bits > kMaxClusterBits) {
      return Corrupt(fmt::format("cluster_bits is {}, not {} to {}", header_.cluster_bits,
                                 kMinClusterBits, kMaxClusterBits));
    }
    header_bytes_ = kVersion2HeaderBytes;
    if (header_.version == 2) return absl::OkStatus();

    if (bytes_.size() < kVersion3HeaderBytes) return Corrupt("the file ends within the header");
    header_bytes_ = U32(100);
    if (header_bytes_ < kVersion3HeaderBytes || header_bytes_ % 8 != 0 ||
        header_bytes_ > ClusterBytes() || !source_.Contains(0, header_bytes_)) {
      return Corrupt(fmt::format("a header length of {} is impossible", header_bytes_));
    }
    return absl::OkStatus();
  }

  absl::Status CheckFeatures() {
    if (header_.version == 2) return absl::OkStatus();
    const uint64_t incompatible = U64(72);
    if (incompatible & ~kIncompatibleKnown) {
      return Unsafe(fmt::format("it needs unknown features (incompatible bits {:#x})",
                                incompatible & ~kIncompatibleKnown));
    }
    if ((incompatible & kIncompatibleDataFile) || (U64(88) & kAutoclearRawData)) {
      return Unsafe("it keeps its data in an external file");
    }
    if (incompatible & kIncompatibleCorrupt) return Corrupt("it is marked as corrupt");
    if (incompatible & kIncompatibleDirty) {
      return Corrupt("it was not closed cleanly, so it may still be in use");
    }
    extended_l2_ = (incompatible & kIncompatibleExtendedL2) != 0;

    const uint32_t refcount_order = U32(96);
    if (refcount_order > kMaxRefcountOrder) {
      return Corrupt(
          fmt::format("refcount_order is {}, above {}", refcount_order, kMaxRefcountOrder));
    }
    // The field is there only when the header is long enough for it: zlib (0) otherwise.
    const bool has_compression_type = header_bytes_ > kVersion3HeaderBytes;
    const uint8_t compression_type =
        has_compression_type ? static_cast<uint8_t>(bytes_[kVersion3HeaderBytes]) : 0;
    if (compression_type > 1) {
      return Unsafe(fmt::format("its compression type {} is unknown", compression_type));
    }
    if ((compression_type != 0) != ((incompatible & kIncompatibleCompression) != 0)) {
      return Corrupt("the compression type and its feature bit contradict each other");
    }
    return absl::OkStatus();
  }

  absl::Status CheckReferences() {
    if (U64(8) != 0 || U32(16) != 0) return Unsafe("it has a backing file");
    if (U32(32) != 0) return Unsafe("it is encrypted");
    // Their tables would be one more thing to parse, and a conversion drops them silently.
    if (U32(60) != 0) return Unsafe("it has internal snapshots");
    return absl::OkStatus();
  }

  absl::Status CheckSize() {
    header_.virtual_size_bytes = U64(24);
    if (header_.virtual_size_bytes > max_virtual_size_bytes_) {
      return Error(common::v1::ERROR_REASON_IMAGE_TOO_LARGE,
                   fmt::format("the image has a virtual size of {} bytes, above the limit of {}",
                               header_.virtual_size_bytes, max_virtual_size_bytes_),
                   {{"limit", std::to_string(max_virtual_size_bytes_)}});
    }
    if (header_.virtual_size_bytes == 0) return Corrupt("its virtual size is 0");
    if (header_.virtual_size_bytes % 512 != 0) {
      return Corrupt(fmt::format("its virtual size of {} bytes is not whole sectors",
                                 header_.virtual_size_bytes));
    }
    return absl::OkStatus();
  }

  absl::Status CheckExtensions() {
    // They end with the first cluster at the latest, since there is no backing file name.
    const uint64_t area = std::min(ClusterBytes(), source_.file_size_bytes());
    uint64_t offset = header_bytes_;
    // A file whose first cluster is full of its header has no room for an end mark.
    while (area - offset >= 8) {
      CVM_ASSIGN_OR_RETURN(const std::string head, source_.Read(offset, 8));
      const uint32_t type = BigEndian32(head, 0);
      const uint32_t length = BigEndian32(head, 4);
      if (type == kExtensionEnd) return absl::OkStatus();
      offset += 8;
      const uint64_t padded = (uint64_t{length} + 7) & ~uint64_t{7};
      if (padded > area - offset) {
        return Corrupt(fmt::format("header extension {:#x} of {} bytes overruns the first cluster",
                                   type, length));
      }
      CVM_RETURN_IF_ERROR(CheckExtension(type, offset, length));
      offset += padded;
    }
    return absl::OkStatus();
  }

  absl::Status CheckExtension(uint32_t type, uint64_t offset, uint32_t length) {
    switch (type) {
      case kExtensionBackingFormat:
        return Unsafe("it names the format of a backing file");
      case kExtensionEncryption:
        return Unsafe("it is encrypted");
      case kExtensionDataFile:
        return Unsafe("it names an external data file");
      case kExtensionBitmaps:
        return CheckBitmaps(offset, length);
      default:
        return absl::OkStatus();  // by the format's rules unknown ones are ignored
    }
  }

  absl::Status CheckBitmaps(uint64_t offset, uint32_t length) {
    if (length != 24) return Corrupt("its bitmaps extension has a wrong length");
    CVM_ASSIGN_OR_RETURN(const std::string data, source_.Read(offset, length));
    const uint32_t count = BigEndian32(data, 0);
    const uint64_t directory_bytes = BigEndian64(data, 8);
    const uint64_t directory_offset = BigEndian64(data, 16);
    if (count == 0 || count > kMaxBitmaps || directory_offset % ClusterBytes() != 0 ||
        directory_offset == 0 || !source_.Contains(directory_offset, directory_bytes)) {
      return Corrupt("its bitmap directory is out of range");
    }
    return absl::OkStatus();
  }

  absl::Status CheckTable(const Table& table, uint64_t max_bytes) {
    if (table.bytes > max_bytes) {
      return Corrupt(
          fmt::format("its {} table of {} bytes is above {}", table.name, table.bytes, max_bytes));
    }
    if (table.offset == 0 || table.offset % ClusterBytes() != 0) {
      return Corrupt(fmt::format("its {} table at offset {} is not at a cluster of its own",
                                 table.name, table.offset));
    }
    if (!source_.Contains(table.offset, table.bytes)) {
      return Corrupt(
          fmt::format("its {} table ({} bytes at offset {}) lies beyond the end of the "
                      "file ({} bytes)",
                      table.name, table.bytes, table.offset, source_.file_size_bytes()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckTables() {
    header_.l1_entries = U32(36);
    header_.l1_offset = U64(40);
    const uint64_t l2_entries = ClusterBytes() / (extended_l2_ ? 16 : 8);
    const uint64_t l2_span = l2_entries * ClusterBytes();  // at most 2^40
    const uint64_t needed = (header_.virtual_size_bytes - 1) / l2_span + 1;
    if (header_.l1_entries < needed) {
      return Corrupt(fmt::format("its L1 table has {} entries, its size needs {}",
                                 header_.l1_entries, needed));
    }
    const Table l1 = {"L1", header_.l1_offset, uint64_t{header_.l1_entries} * 8};
    CVM_RETURN_IF_ERROR(CheckTable(l1, kMaxL1Bytes));

    const uint32_t refcount_clusters = U32(56);
    if (refcount_clusters == 0) return Corrupt("it has no refcount table");
    const Table refcounts = {"refcount", U64(48), refcount_clusters * ClusterBytes()};
    CVM_RETURN_IF_ERROR(CheckTable(refcounts, kMaxRefcountTableBytes));

    if (l1.offset < refcounts.offset + refcounts.bytes && refcounts.offset < l1.offset + l1.bytes) {
      return Corrupt("its L1 and refcount tables overlap");
    }
    return absl::OkStatus();
  }

  // A copy that was cut off mostly lacks the last tables: found here in milliseconds.
  absl::Status CheckL1Entries() {
    constexpr uint32_t kBatch = 8192;
    for (uint32_t first = 0; first < header_.l1_entries; first += kBatch) {
      const uint32_t count = std::min(kBatch, header_.l1_entries - first);
      CVM_ASSIGN_OR_RETURN(
          const std::string batch,
          source_.Read(header_.l1_offset + uint64_t{first} * 8, uint64_t{count} * 8));
      for (uint32_t i = 0; i < count; ++i) {
        CVM_RETURN_IF_ERROR(CheckL1Entry(first + i, BigEndian64(batch, size_t{i} * 8)));
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckL1Entry(uint32_t index, uint64_t entry) {
    const uint64_t offset = entry & kL1OffsetMask;
    if (entry & kL1ReservedMask) {
      return Corrupt(fmt::format("L1 entry {} has reserved bits set", index));
    }
    if (offset == 0) return absl::OkStatus();  // nothing allocated there
    if (offset % ClusterBytes() != 0 || !source_.Contains(offset, ClusterBytes())) {
      return Corrupt(
          fmt::format("L1 entry {} points at offset {}, not at a cluster within the "
                      "file",
                      index, offset));
    }
    return absl::OkStatus();
  }

  const ImageSource& source_;
  const uint64_t max_virtual_size_bytes_;
  std::string bytes_;
  uint64_t header_bytes_ = 0;
  bool extended_l2_ = false;
  Qcow2Header header_;
};

}  // namespace

absl::StatusOr<Qcow2Header> ReadForeignQcow2Header(const ImageSource& source,
                                                   uint64_t max_virtual_size_bytes) {
  return HeaderReader(source, max_virtual_size_bytes).Read();
}

absl::StatusOr<uint64_t> ReadQcow2VirtualSize(const ImageSource& source) {
  CVM_ASSIGN_OR_RETURN(const std::string bytes, source.Read(0, kVersion2HeaderBytes));
  const uint32_t version = BigEndian32(bytes, 4);
  if (std::string_view(bytes).substr(0, kMagic.size()) != kMagic || version < 2 || version > 3) {
    return Corrupt("its header is not that of a qcow2 file");
  }
  return BigEndian64(bytes, 24);
}

}  // namespace cvm::images
