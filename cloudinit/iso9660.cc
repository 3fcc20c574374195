// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "cloudinit/iso9660_bytes.h"
#include "cloudinit/iso9660_directory.h"
#include "cloudinit/iso9660_tree.h"

namespace cvm::cloudinit {
namespace {

using iso::ByteWriter;
using iso::Hierarchy;
using iso::Node;

// The order on the disc: 16 sectors that belong to the system, the three descriptors, the four path
// tables, the directories of both hierarchies, the files.
constexpr std::uint32_t kSystemSectors = 16;
constexpr std::uint32_t kDescriptorSectors = 3;
constexpr std::uint32_t kDescriptorPrimary = 1;
constexpr std::uint32_t kDescriptorSupplementary = 2;
constexpr std::uint32_t kDescriptorTerminator = 255;
constexpr std::string_view kStandardId = "CD001";
constexpr std::string_view kJolietLevel3 = "%/E";  // UCS-2 level 3, in the escape sequences field

// 2156-01-01: years are one byte counted from 1900.
constexpr std::chrono::sys_seconds kTimeEnd =
    std::chrono::sys_days(std::chrono::year(2156) / std::chrono::January / 1);

absl::Status CheckOptions(const IsoOptions& options) {
  const std::string& label = options.volume_label;
  if (label.empty() || label.size() > kIsoMaxLabelLength) {
    return absl::InvalidArgumentError(
        fmt::format("volume label has {} characters; 1 to {} are "
                    "allowed",
                    label.size(), kIsoMaxLabelLength));
  }
  if (!std::all_of(label.begin(), label.end(), [](char c) { return c >= 0x20 && c < 0x7f; })) {
    return absl::InvalidArgumentError("volume label holds a character that is not printable ASCII");
  }
  if (label.front() == ' ' || label.back() == ' ') {
    return absl::InvalidArgumentError(
        "volume label begins or ends with a space, which readers drop");
  }
  if (options.mtime < std::chrono::sys_seconds() || options.mtime >= kTimeEnd) {
    return absl::InvalidArgumentError("mtime is not between 1970 and 2155");
  }
  return absl::OkStatus();
}

// ASCII as UCS-2 big-endian.
std::string Widen(std::string_view ascii) {
  std::string out;
  for (const char c : ascii) {
    out += '\0';
    out += c;
  }
  return out;
}

struct PathTableExtents {
  std::uint32_t little = 0;
  std::uint32_t big = 0;
};

// A text field of the descriptor: spaces, in the character set of the volume.
void BlankText(ByteWriter& out, std::size_t width, bool joliet) {
  if (!joliet) {
    out.Padded("", width, ' ');
    return;
  }
  for (std::size_t i = 0; i + 1 < width; i += 2) out.Bytes(std::string_view("\0 ", 2));
  out.Zeros(width % 2);
}

// One sector: the primary descriptor (ECMA-119 8.4) or the Joliet one (8.5), which differ only in
// type, character set and escape sequences.
std::string VolumeDescriptor(const IsoOptions& options, const Hierarchy& hierarchy, bool joliet,
                             PathTableExtents path_tables, std::uint32_t volume_sectors) {
  constexpr std::size_t kIdentifierBytes = 32;
  ByteWriter out;
  out.U8(joliet ? kDescriptorSupplementary : kDescriptorPrimary);
  out.Bytes(kStandardId);
  out.U8(1);                                 // version
  out.U8(0);                                 // unused, or volume flags
  BlankText(out, kIdentifierBytes, joliet);  // system identifier
  if (joliet) {
    const std::string label = Widen(options.volume_label.substr(0, kIsoMaxJolietLabelLength));
    out.Bytes(label);
    BlankText(out, kIdentifierBytes - label.size(), true);
  } else {
    out.Padded(options.volume_label, kIdentifierBytes, ' ');
  }
  out.Zeros(8);
  out.U32Both(volume_sectors);
  out.Padded(joliet ? kJolietLevel3 : "", 32, '\0');
  out.U16Both(1);  // volumes in the set
  out.U16Both(1);  // number of this volume
  out.U16Both(iso::kSectorBytes);
  out.U32Both(static_cast<std::uint32_t>(hierarchy.PathTableBytes()));
  out.U32Little(path_tables.little);
  out.U32Little(0);  // no optional copy
  out.U32Big(path_tables.big);
  out.U32Big(0);
  out.Bytes(hierarchy.RootRecord());
  for (int i = 0; i < 4; ++i) BlankText(out, 128, joliet);  // set, publisher, preparer, application
  for (int i = 0; i < 3; ++i) BlankText(out, 37, joliet);   // copyright, abstract, bibliography
  out.LongTime(options.mtime);                              // created
  out.LongTime(options.mtime);                              // modified
  out.NoTime();                                             // never expires
  out.NoTime();                                             // in force from the beginning
  out.U8(1);                                                // version of the file structure
  out.Align(iso::kSectorBytes);
  return out.Take();
}

std::string Terminator() {
  ByteWriter out;
  out.U8(kDescriptorTerminator);
  out.Bytes(kStandardId);
  out.U8(1);
  out.Align(iso::kSectorBytes);
  return out.Take();
}

// The files in the order of their paths.
void CollectFiles(Node& node, std::vector<Node*>& out) {
  for (const auto& [name, child] : node.children) {
    if (child->is_directory) {
      CollectFiles(*child, out);
    } else {
      out.push_back(child.get());
    }
  }
}

// Gives each file its first sector, from `sector` on; returns the sector after the last. An empty
// file has no sector of its own, but some readers refuse an extent outside of the volume: all empty
// files point at one sector, which is the last.
std::uint32_t PlaceFiles(const std::vector<Node*>& files, std::uint32_t sector) {
  bool empty_file = false;
  for (Node* file : files) {
    if (file->content.empty()) {
      empty_file = true;
      continue;
    }
    file->extent = sector;
    sector += iso::SectorsFor(file->content.size());
  }
  if (!empty_file) return sector;
  for (Node* file : files) {
    if (file->content.empty()) file->extent = sector;
  }
  return sector + 1;
}

PathTableExtents PlacePathTables(const Hierarchy& hierarchy, std::uint32_t& sector) {
  const std::uint32_t sectors = iso::SectorsFor(hierarchy.PathTableBytes());
  const PathTableExtents extents{.little = sector, .big = sector + sectors};
  sector += 2 * sectors;
  return extents;
}

void AppendPathTables(const Hierarchy& hierarchy, std::string& image) {
  for (const bool big_endian : {false, true}) {
    image += hierarchy.PathTable(big_endian);
    image.resize(std::size_t{iso::SectorsFor(image.size())} * iso::kSectorBytes);
  }
}

}  // namespace

absl::StatusOr<std::string> WriteIso(const IsoOptions& options, std::vector<IsoFile> files) {
  if (absl::Status status = CheckOptions(options); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<Node>> root = iso::BuildTree(std::move(files));
  if (!root.ok()) return root.status();

  Hierarchy primary(iso::Naming::kPrimary, **root, options.mtime);
  Hierarchy joliet(iso::Naming::kJoliet, **root, options.mtime);
  std::uint32_t sector = kSystemSectors + kDescriptorSectors;
  const PathTableExtents primary_tables = PlacePathTables(primary, sector);
  const PathTableExtents joliet_tables = PlacePathTables(joliet, sector);
  sector = primary.Place(sector);
  sector = joliet.Place(sector);
  std::vector<Node*> contents;
  CollectFiles(**root, contents);
  const std::uint32_t volume_sectors = PlaceFiles(contents, sector);
  const std::size_t volume_bytes = std::size_t{volume_sectors} * iso::kSectorBytes;

  std::string image;
  image.reserve(volume_bytes);
  image.resize(std::size_t{kSystemSectors} * iso::kSectorBytes);
  image += VolumeDescriptor(options, primary, false, primary_tables, volume_sectors);
  image += VolumeDescriptor(options, joliet, true, joliet_tables, volume_sectors);
  image += Terminator();
  AppendPathTables(primary, image);
  AppendPathTables(joliet, image);
  image += primary.Directories();
  image += joliet.Directories();
  for (const Node* file : contents) {
    image += file->content;
    image.resize(std::size_t{iso::SectorsFor(image.size())} * iso::kSectorBytes);
  }
  image.resize(volume_bytes);  // the sector of the empty files
  return image;
}

}  // namespace cvm::cloudinit
