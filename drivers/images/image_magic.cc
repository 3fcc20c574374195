// SPDX-License-Identifier: Apache-2.0
#include "drivers/images/image_magic.h"

#include <algorithm>
#include <cstdint>
#include <string>

#include "common/status_macros.h"

namespace cvm::images {
namespace {

using std::string_view_literals::operator""sv;

struct Magic {
  size_t offset;
  std::string_view bytes;
  std::string_view format;
};

constexpr Magic kHeadMagics[] = {
    {0, "QFI\xfb"sv, "qcow2"},
    {0, "QED\0"sv, "QED"},
    {0, "KDMV"sv, "VMDK"},
    {0, "COWD"sv, "VMDK"},
    {0, "vhdxfile"sv, "VHDX"},
    {0, "conectix"sv, "VHD"},
    {0x40, "\x7f\x10\xda\xbe"sv, "VDI"},
    {0, "LUKS\xba\xbe"sv, "LUKS"},
    {0, "WithoutFreeSpace"sv, "Parallels"},
    {0, "WithouFreSpacExt"sv, "Parallels"},
    {0, "Bochs Virtual HD Image"sv, "Bochs"},
    {0, "#!/bin/sh\n#V2.0 Format\nmodprobe cloop"sv, "cloop"},
    {0, "\x1f\x8b\x08"sv, "gzip"},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "xz"},
    {0, "\x28\xb5\x2f\xfd"sv, "zstd"},
    {0, "\x04\x22\x4d\x18"sv, "lz4"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "7z"},
    {0, "PK\x03\x04"sv, "zip"},
    {0, "Rar!\x1a\x07"sv, "rar"},
    {257, "ustar"sv, "tar"},
};

constexpr size_t kSectorBytes = 512;

bool HasAt(std::string_view bytes, size_t offset, std::string_view magic) {
  return bytes.size() >= offset && bytes.substr(offset).substr(0, magic.size()) == magic;
}

// The magic is "BZh" and a level, which a boot sector's code may be as well; the block's own magic
// follows.
bool IsBzip2(std::string_view head) {
  return HasAt(head, 0, "BZh") && HasAt(head, 4, "\x31\x41\x59\x26\x53\x59");
}

// A VMDK descriptor is a text file: comments and blank lines, then "version=N". QEMU's own probing
// takes that for a VMDK, which names further files.
bool IsVmdkDescriptor(std::string_view head) {
  if (HasAt(head, 0, "# Disk DescriptorFile")) return true;
  while (!head.empty()) {
    const size_t end = head.find('\n');
    if (end == std::string_view::npos) return false;
    std::string_view line = head.substr(0, end);
    head.remove_prefix(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const size_t text = line.find_first_not_of(' ');
    if (text == std::string_view::npos || line[text] == '#') continue;
    return HasAt(line, text, "version=");
  }
  return false;
}

}  // namespace

absl::StatusOr<std::string_view> RecognizeFormat(const ImageSource& source) {
  CVM_ASSIGN_OR_RETURN(const std::string head, source.ReadUpTo(0, 2 * kSectorBytes));
  for (const Magic& magic : kHeadMagics) {
    if (HasAt(head, magic.offset, magic.bytes)) return magic.format;
  }
  if (IsBzip2(head)) return "bzip2";
  if (IsVmdkDescriptor(head)) return "VMDK";

  const uint64_t size = source.file_size_bytes();
  const size_t tail_bytes = std::min<uint64_t>(size, kSectorBytes);
  CVM_ASSIGN_OR_RETURN(const std::string tail, source.ReadUpTo(size - tail_bytes, tail_bytes));
  // The footer of a fixed VHD, of 512 bytes or of 511 in old ones.
  if (HasAt(tail, 0, "conectix") || HasAt(tail, 1, "conectix")) return "VHD";
  if (HasAt(tail, 0, "koly")) return "DMG";
  return std::string_view();
}

}  // namespace cvm::images
