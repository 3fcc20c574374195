// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660_rock_ridge.h"

#include <algorithm>

#include "cloudinit/iso9660_bytes.h"

namespace cvm::cloudinit::iso {
namespace {

constexpr std::size_t kContinuationEntry = 28;
constexpr std::size_t kNameHeader = 5;
constexpr std::size_t kNameBytesPerEntry = 255 - kNameHeader;
constexpr std::uint32_t kPosixDirectory = 0040000;
constexpr std::uint32_t kPosixRegular = 0100000;

// The text that RRIP 1991A (section 4.3) prescribes for its extension reference.
constexpr std::string_view kExtensionId = "RRIP_1991A";
constexpr std::string_view kExtensionDescriptor =
    "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS";
constexpr std::string_view kExtensionSource =
    "PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY "
    "VOLUME DESCRIPTOR FOR CONTACT INFORMATION.";

void Header(ByteWriter& out, std::string_view signature, std::size_t length) {
  out.Bytes(signature);
  out.U8(static_cast<std::uint32_t>(length));
  out.U8(1);  // version of the entry
}

// SP: SUSP is in use, with no bytes to skip in other records.
void SharingProtocol(ByteWriter& out) {
  Header(out, "SP", 7);
  out.U8(0xbe);
  out.U8(0xef);
  out.U8(0);
}

// RR: which of the entries follow (RRIP 1991A readers of old look here first).
void RecordedEntries(ByteWriter& out, bool named) {
  constexpr std::uint32_t kPx = 0x01;
  constexpr std::uint32_t kNm = 0x08;
  constexpr std::uint32_t kTf = 0x80;
  Header(out, "RR", 5);
  out.U8(kPx | kTf | (named ? kNm : 0));
}

void PosixAttributes(ByteWriter& out, const RockRidgeEntry& entry) {
  Header(out, "PX", 36);
  out.U32Both(entry.mode | (entry.is_directory ? kPosixDirectory : kPosixRegular));
  out.U32Both(entry.links);
  out.U32Both(0);  // owner
  out.U32Both(0);  // group
}

void Timestamps(ByteWriter& out, std::chrono::sys_seconds time) {
  constexpr std::uint32_t kModifyAccessAttributes = 0x0e;
  Header(out, "TF", 26);
  out.U8(kModifyAccessAttributes);
  for (int i = 0; i < 3; ++i) out.ShortTime(time);
}

void AlternateName(ByteWriter& out, std::string_view part, bool continues) {
  Header(out, "NM", kNameHeader + part.size());
  out.U8(continues ? 1 : 0);
  out.Bytes(part);
}

void ExtensionReference(ByteWriter& out) {
  Header(out, "ER",
         8 + kExtensionId.size() + kExtensionDescriptor.size() + kExtensionSource.size());
  out.U8(static_cast<std::uint32_t>(kExtensionId.size()));
  out.U8(static_cast<std::uint32_t>(kExtensionDescriptor.size()));
  out.U8(static_cast<std::uint32_t>(kExtensionSource.size()));
  out.U8(1);  // version of the extension
  out.Bytes(kExtensionId);
  out.Bytes(kExtensionDescriptor);
  out.Bytes(kExtensionSource);
}

void Continuation(ByteWriter& out, ContinuationArea::Place place, std::size_t length) {
  Header(out, "CE", kContinuationEntry);
  out.U32Both(place.sector);
  out.U32Both(place.offset);
  out.U32Both(static_cast<std::uint32_t>(length));
}

// The whole name, in as many NM entries as it takes.
void Names(ByteWriter& out, std::string_view name) {
  while (!name.empty()) {
    const std::string_view part = name.substr(0, kNameBytesPerEntry);
    name.remove_prefix(part.size());
    AlternateName(out, part, !name.empty());
  }
}

}  // namespace

ContinuationArea::Place ContinuationArea::Append(std::string_view piece) {
  const std::size_t used = bytes_.size() % kSectorBytes;
  if (used + piece.size() > kSectorBytes) bytes_.append(kSectorBytes - used, '\0');
  const std::size_t at = bytes_.size();
  bytes_.append(piece);
  return {first_sector_ + static_cast<std::uint32_t>(at / kSectorBytes),
          static_cast<std::uint32_t>(at % kSectorBytes)};
}

std::uint32_t ContinuationArea::SectorCount() const { return SectorsFor(bytes_.size()); }

std::string RockRidgeField(const RockRidgeEntry& entry, std::size_t room,
                           ContinuationArea& continuation) {
  ByteWriter field;
  if (entry.is_root_self) SharingProtocol(field);
  RecordedEntries(field, !entry.name.empty());
  PosixAttributes(field, entry);
  Timestamps(field, entry.mtime);

  ByteWriter overflow;
  const std::size_t name_entries =
      (entry.name.size() + kNameBytesPerEntry - 1) / kNameBytesPerEntry;
  if (field.size() + entry.name.size() + name_entries * kNameHeader <= room) {
    Names(field, entry.name);
  } else {
    const std::size_t here = room - field.size() - kContinuationEntry - kNameHeader;
    AlternateName(field, entry.name.substr(0, here), true);
    Names(overflow, entry.name.substr(here));
  }
  if (entry.is_root_self) ExtensionReference(overflow);
  if (overflow.size() != 0) {
    const ContinuationArea::Place place = continuation.Append(overflow.bytes());
    Continuation(field, place, overflow.size());
  }
  field.Align(2);
  return field.Take();
}

}  // namespace cvm::cloudinit::iso
