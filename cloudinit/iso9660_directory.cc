// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660_directory.h"

#include <algorithm>
#include <utility>

#include "cloudinit/iso9660_bytes.h"
#include "cloudinit/iso9660_names.h"

namespace cvm::cloudinit::iso {
namespace {

constexpr std::size_t kRecordHeader = 33;
constexpr std::size_t kMaxRecord = 254;  // the length is one byte and must be even
constexpr std::uint32_t kDirectoryFlag = 0x02;
constexpr std::string_view kSelf("\0", 1);
constexpr std::string_view kParent("\1", 1);

// A record without its system use field; even, because the identifier is padded.
std::size_t BaseLength(std::string_view identifier) {
  const std::size_t length = kRecordHeader + identifier.size();
  return length + length % 2;
}

// A directory record (ECMA-119 9.1).
std::string RecordBytes(std::string_view identifier, std::uint32_t extent, std::uint32_t bytes,
                        std::uint32_t flags, std::chrono::sys_seconds mtime,
                        std::string_view system_use) {
  ByteWriter out;
  out.U8(static_cast<std::uint32_t>(BaseLength(identifier) + system_use.size()));
  out.U8(0);  // no extended attribute record
  out.U32Both(extent);
  out.U32Both(bytes);
  out.ShortTime(mtime);
  out.U8(flags);
  out.U8(0);       // not interleaved: unit size
  out.U8(0);       // and gap size
  out.U16Both(1);  // the volume it is on
  out.U8(static_cast<std::uint32_t>(identifier.size()));
  out.Bytes(identifier);
  out.Align(2);
  out.Bytes(system_use);
  return out.Take();
}

// Appends `record` to the directory, beginning a new sector when it would cross into the next.
void AppendRecord(ByteWriter& out, std::string_view record) {
  if (out.size() % kSectorBytes + record.size() > kSectorBytes) out.Align(kSectorBytes);
  out.Bytes(record);
}

}  // namespace

Hierarchy::Hierarchy(Naming naming, const Node& root, std::chrono::sys_seconds mtime)
    : naming_(naming), mtime_(mtime) {
  // Breadth first with sorted children is the order that a path table needs (ECMA-119 9.4): by
  // level, then by the parent's number, then by identifier.
  directories_.push_back({&root, 0, std::string(kSelf)});
  for (std::size_t i = 0; i < directories_.size(); ++i) {
    std::vector<Entry> entries = SortedEntries(*directories_[i].node);
    for (Entry& entry : entries) {
      if (!entry.node->is_directory) continue;
      entry.directory = directories_.size();
      directories_.push_back({entry.node, i, entry.identifier});
    }
    directories_[i].entries = std::move(entries);
  }
}

std::vector<Hierarchy::Entry> Hierarchy::SortedEntries(const Node& node) const {
  std::vector<NamedEntry> names;
  for (const auto& [name, child] : node.children) names.push_back({name, child->is_directory});
  const std::vector<std::string> identifiers =
      naming_ == Naming::kPrimary ? PrimaryIdentifiers(names) : JolietIdentifiers(names);
  std::vector<Entry> entries;
  std::size_t i = 0;
  for (const auto& [name, child] : node.children) {
    entries.push_back({identifiers[i++], name, child.get()});
  }
  const auto before = naming_ == Naming::kPrimary ? PrimaryBefore : JolietBefore;
  std::sort(entries.begin(), entries.end(), [before](const Entry& a, const Entry& b) {
    return before(a.identifier, b.identifier);
  });
  return entries;
}

std::uint32_t Hierarchy::Place(std::uint32_t first_sector) {
  // The lengths of records do not depend on the extents in them, so the same code that writes them
  // later measures them now.
  ContinuationArea measured(0);
  std::uint32_t sector = first_sector;
  for (Directory& directory : directories_) {
    directory.bytes = static_cast<std::uint32_t>(Records(directory, measured).size());
    directory.extent = sector;
    sector += SectorsFor(directory.bytes);
  }
  continuation_sector_ = sector;
  return sector + measured.SectorCount();
}

std::string Hierarchy::Directories() const {
  ContinuationArea continuation(continuation_sector_);
  ByteWriter out;
  for (const Directory& directory : directories_) out.Bytes(Records(directory, continuation));
  out.Bytes(continuation.bytes());
  out.Align(kSectorBytes);
  return out.Take();
}

std::string Hierarchy::Records(const Directory& directory, ContinuationArea& continuation) const {
  ByteWriter out;
  RockRidgeEntry self = Attributes(*directory.node, "");
  self.is_root_self = &directory == directories_.data();
  AppendRecord(out, DirectoryRecord(directory, kSelf, self, continuation));
  const Directory& parent = directories_[directory.parent];
  AppendRecord(out, DirectoryRecord(parent, kParent, Attributes(*parent.node, ""), continuation));
  for (const Entry& entry : directory.entries) {
    const RockRidgeEntry attributes = Attributes(*entry.node, entry.name);
    AppendRecord(out, entry.node->is_directory
                          ? DirectoryRecord(directories_[entry.directory], entry.identifier,
                                            attributes, continuation)
                          : Record(entry.identifier, entry.node->extent,
                                   static_cast<std::uint32_t>(entry.node->content.size()),
                                   attributes, continuation));
  }
  out.Align(kSectorBytes);
  return out.Take();
}

std::string Hierarchy::DirectoryRecord(const Directory& target, std::string_view identifier,
                                       const RockRidgeEntry& attributes,
                                       ContinuationArea& continuation) const {
  return Record(identifier, target.extent, target.bytes, attributes, continuation);
}

std::string Hierarchy::Record(std::string_view identifier, std::uint32_t extent,
                              std::uint32_t bytes, const RockRidgeEntry& attributes,
                              ContinuationArea& continuation) const {
  std::string system_use;
  if (naming_ == Naming::kPrimary) {
    system_use = RockRidgeField(attributes, kMaxRecord - BaseLength(identifier), continuation);
  }
  const std::uint32_t flags = attributes.is_directory ? kDirectoryFlag : 0;
  return RecordBytes(identifier, extent, bytes, flags, mtime_, system_use);
}

RockRidgeEntry Hierarchy::Attributes(const Node& node, std::string_view name) const {
  return {.name = name,
          .is_directory = node.is_directory,
          .is_root_self = false,
          .mode = node.mode,
          .links = node.LinkCount(),
          .mtime = mtime_};
}

std::string Hierarchy::PathTable(bool big_endian) const {
  ByteWriter out;
  for (const Directory& directory : directories_) {
    out.U8(static_cast<std::uint32_t>(directory.identifier.size()));
    out.U8(0);  // no extended attribute record
    const auto parent = static_cast<std::uint32_t>(directory.parent + 1);
    if (big_endian) {
      out.U32Big(directory.extent);
      out.U16Big(parent);
    } else {
      out.U32Little(directory.extent);
      out.U16Little(parent);
    }
    out.Bytes(directory.identifier);
    out.Align(2);
  }
  return out.Take();
}

std::size_t Hierarchy::PathTableBytes() const { return PathTable(false).size(); }

std::string Hierarchy::RootRecord() const {
  const Directory& root = directories_.front();
  return RecordBytes(kSelf, root.extent, root.bytes, kDirectoryFlag, mtime_, "");
}

}  // namespace cvm::cloudinit::iso
