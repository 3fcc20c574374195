// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cloudinit/iso_inspector.h"

#include <fmt/format.h>

#include <optional>
#include <set>

namespace cvm::cloudinit::testing {
namespace {

constexpr std::size_t kSector = 2048;

std::string FromUcs2(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) {
    const unsigned c =
        static_cast<std::uint8_t>(bytes[i]) * 256U + static_cast<std::uint8_t>(bytes[i + 1]);
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else if (c < 0x800) {
      out += static_cast<char>(0xc0U | (c >> 6U));
      out += static_cast<char>(0x80U | (c & 0x3fU));
    } else {
      out += static_cast<char>(0xe0U | (c >> 12U));
      out += static_cast<char>(0x80U | ((c >> 6U) & 0x3fU));
      out += static_cast<char>(0x80U | (c & 0x3fU));
    }
  }
  return out;
}

// What records are sorted by (ECMA-119 9.3): the name, then the extension. Both pad characters,
// space and zero, are below all that may stand in an identifier, so plain comparison does.
std::pair<std::string, std::string> OrderKey(std::string identifier) {
  if (identifier.ends_with(";1")) identifier.resize(identifier.size() - 2);
  const std::size_t dot = identifier.rfind('.');
  if (dot == std::string::npos) return {identifier, ""};
  return {identifier.substr(0, dot), identifier.substr(dot + 1)};
}

class Inspector {
 public:
  explicit Inspector(std::string_view image) : image_(image) {}

  InspectedImage Run() {
    if (image_.size() % kSector != 0 || image_.size() < 20 * kSector) {
      Fault("image is not a whole number of sectors");
      return std::move(result_);
    }
    for (std::size_t i = 0; i < 16 * kSector; ++i) {
      if (image_[i] != 0) Fault("system area is not empty");
    }
    Volume(16, 1, false, result_.primary);
    Volume(17, 2, true, result_.joliet);
    if (image_.substr(18 * kSector, 7) != std::string_view("\xff"
                                                           "CD001\1",
                                                           7)) {
      Fault("no terminator in sector 18");
    }
    CheckOverlaps();
    return std::move(result_);
  }

 private:
  void Fault(std::string text) {
    if (result_.faults.size() < 50) result_.faults.push_back(std::move(text));
  }

  std::uint8_t At(std::size_t offset) {
    if (offset >= image_.size()) {
      Fault(fmt::format("read at {} beyond the end", offset));
      return 0;
    }
    return static_cast<std::uint8_t>(image_[offset]);
  }

  std::uint32_t Little(std::size_t offset, std::size_t bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= std::uint32_t{At(offset + i)} << (8 * i);
    return value;
  }

  std::uint32_t Big(std::size_t offset, std::size_t bytes) {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value = (value << 8U) | At(offset + i);
    return value;
  }

  // A number recorded in both byte orders.
  std::uint32_t Both(std::size_t offset, std::size_t bytes) {
    const std::uint32_t value = Little(offset, bytes);
    if (value != Big(offset + bytes, bytes)) Fault(fmt::format("halves differ at {}", offset));
    return value;
  }

  void Volume(std::size_t sector, std::uint8_t type, bool joliet, InspectedVolume& volume) {
    const std::size_t base = sector * kSector;
    if (At(base) != type || image_.substr(base + 1, 5) != "CD001" || At(base + 6) != 1) {
      Fault(fmt::format("no descriptor of type {} in sector {}", type, sector));
      return;
    }
    std::string label(image_.substr(base + 40, 32));
    if (joliet) {
      label = FromUcs2(label);
      if (image_.substr(base + 88, 3) != "%/E") Fault("no Joliet escape sequence");
    }
    label.erase(label.find_last_not_of(' ') + 1);
    volume.label = label;
    if (Both(base + 80, 4) != image_.size() / kSector) Fault("volume size is not the image's");
    if (Both(base + 120, 2) != 1 || Both(base + 124, 2) != 1) Fault("not volume 1 of 1");
    if (Both(base + 128, 2) != kSector) Fault("block size is not 2048");
    directories_.clear();
    const std::size_t root = base + 156;
    if (At(root) != 34) Fault("root record is not 34 bytes");
    Directory("", "", Both(root + 2, 4), Both(root + 10, 4), 1, joliet, volume, Both(root + 2, 4));
    PathTable(Little(base + 140, 4), Both(base + 132, 4), false);
    PathTable(Big(base + 148, 4), Both(base + 132, 4), true);
  }

  void Directory(const std::string& path, const std::string& name_path, std::uint32_t extent,
                 std::uint32_t bytes, std::size_t depth, bool joliet, InspectedVolume& volume,
                 std::uint32_t parent) {
    if (depth > 8) Fault("more than eight levels");
    if (bytes == 0 || bytes % kSector != 0) Fault("directory is not whole sectors: " + path);
    Extent(extent, bytes);
    directories_[extent] = parent;
    std::optional<std::pair<std::string, std::string>> previous;
    int index = 0;
    std::uint32_t subdirectories = 0;
    std::optional<std::uint32_t> own_links;
    for (std::size_t at = extent * kSector; at < extent * kSector + bytes;) {
      const std::size_t length = At(at);
      if (length == 0) {  // the rest of the sector is unused
        at = (at / kSector + 1) * kSector;
        continue;
      }
      if (length % 2 != 0 || length < 34) Fault("record length is odd or too short");
      if (at / kSector != (at + length - 1) / kSector) Fault("record crosses a sector: " + path);
      const std::string raw(image_.substr(at + 33, At(at + 32)));
      InspectedEntry entry = Entry(at, length, joliet);
      const std::uint32_t expected = index == 0 ? extent : parent;
      if (index < 2) {
        if (raw != std::string(1, static_cast<char>(index)))
          Fault("no '.' and '..' first: " + path);
        if (entry.extent != expected) Fault("'.' or '..' points elsewhere: " + path);
        if (index == 0) own_links = entry.links;
      } else {
        const std::string identifier = joliet ? FromUcs2(raw) : raw;
        const auto key = OrderKey(identifier);
        if (previous && !(*previous < key)) Fault("records out of order in '" + path + "'");
        previous = key;
        Child(path, name_path, identifier, entry, extent, depth, joliet, volume);
        subdirectories += entry.is_directory ? 1 : 0;
      }
      ++index;
      at += length;
    }
    if (!joliet && own_links != 2 + subdirectories) Fault("link count of " + path);
  }

  InspectedEntry Entry(std::size_t at, std::size_t length, bool joliet) {
    InspectedEntry entry;
    entry.extent = Both(at + 2, 4);
    entry.bytes = Both(at + 10, 4);
    entry.is_directory = (At(at + 25) & 2U) != 0;
    if (Both(at + 28, 2) != 1) Fault("record of another volume");
    std::size_t field = at + 33 + At(at + 32);
    field += (field - at) % 2;
    if (joliet) {
      if (field != at + length) Fault("Joliet record with a system use field");
    } else {
      SystemUse(field, at + length, entry, 0);
    }
    return entry;
  }

  // The SUSP entries between two offsets, following continuations.
  void SystemUse(std::size_t at, std::size_t end, InspectedEntry& entry, int depth) {
    if (depth > 4) return Fault("continuations without end");
    std::optional<std::pair<std::size_t, std::size_t>> next;
    while (at + 4 <= end) {
      const std::string_view signature = image_.substr(at, 2);
      const std::size_t length = At(at + 2);
      if (length < 4 || at + length > end) return Fault("SUSP entry of a bad length");
      if (signature == "PX") {
        entry.mode = Both(at + 4, 4);
        entry.links = Both(at + 12, 4);
        if (Both(at + 20, 4) != 0 || Both(at + 28, 4) != 0) Fault("owner is not root");
      } else if (signature == "NM") {
        entry.rock_name += std::string(image_.substr(at + 5, length - 5));
        name_continues_ = At(at + 4) == 1;
      } else if (signature == "CE") {
        const std::size_t sector = Both(at + 4, 4);
        const std::size_t offset = Both(at + 12, 4);
        const std::size_t size = Both(at + 20, 4);
        if (offset + size > kSector) Fault("continuation crosses a sector");
        next = {sector * kSector + offset, sector * kSector + offset + size};
      } else if (signature == "ER") {
        found_er_ = image_.substr(at + 8, At(at + 4)) == "RRIP_1991A";
      } else if (signature == "SP") {
        if (Big(at + 4, 2) != 0xbeef) Fault("SP without its check bytes");
      } else if (signature != "TF" && signature != "RR") {
        Fault("unknown SUSP entry");
      }
      at += length;
    }
    if (next) return SystemUse(next->first, next->second, entry, depth + 1);
    if (name_continues_) Fault("the last NM entry says that it continues");
  }

  void Child(const std::string& path, const std::string& name_path, const std::string& identifier,
             InspectedEntry entry, std::uint32_t directory, std::size_t depth, bool joliet,
             InspectedVolume& volume) {
    const std::string full = path.empty() ? identifier : path + "/" + identifier;
    const std::string named =
        name_path.empty() ? entry.rock_name : name_path + "/" + entry.rock_name;
    if (!entry.is_directory) {
      entry.content = std::string(image_.substr(std::size_t{entry.extent} * kSector, entry.bytes));
      if (entry.extent * kSector >= image_.size()) Fault("file outside of the volume: " + full);
      if (entry.bytes != 0) Extent(entry.extent, entry.bytes);
    }
    if (!volume.by_identifier.emplace(full, entry).second) Fault("identifier twice: " + full);
    if (!joliet && !volume.by_name.emplace(named, entry).second) Fault("name twice: " + named);
    if (entry.is_directory) {
      Directory(full, named, entry.extent, entry.bytes, depth + 1, joliet, volume, directory);
    }
  }

  // The table lists exactly the directories that were met, each with its parent's number.
  void PathTable(std::uint32_t sector, std::uint32_t bytes, bool big) {
    Extent(sector, bytes);
    const auto number = [this, big](std::size_t at, std::size_t size) {
      return big ? Big(at, size) : Little(at, size);
    };
    std::vector<std::uint32_t> extents;
    std::size_t parent_before = 0;
    for (std::size_t at = sector * kSector; at < sector * kSector + bytes;) {
      const std::size_t length = At(at);
      const std::uint32_t extent = number(at + 2, 4);
      const std::size_t parent = number(at + 6, 2);
      extents.push_back(extent);
      if (parent < parent_before || parent == 0 || parent > extents.size()) {
        Fault("path table has its parents out of order");
      } else if (directories_.count(extent) == 0 || directories_[extent] != extents[parent - 1]) {
        Fault("path table disagrees with the directories");
      }
      parent_before = parent;
      at += 8 + length + length % 2;
    }
    if (extents.size() != directories_.size()) Fault("path table lacks directories");
  }

  void Extent(std::uint32_t sector, std::uint32_t bytes) {
    const std::uint32_t end = sector + (bytes + kSector - 1) / kSector;
    if (end > image_.size() / kSector) Fault("extent beyond the end");
    extents_.emplace(sector, end);
  }

  // No two different extents share a sector (both volumes do share the files' extents).
  void CheckOverlaps() {
    std::uint32_t end = 19;
    for (const auto& [from, to] : extents_) {
      if (from < end) Fault(fmt::format("sector {} is used twice", from));
      end = to;
    }
    if (!found_er_) Fault("Rock Ridge is not announced");
  }

  std::string_view image_;
  InspectedImage result_;
  std::map<std::uint32_t, std::uint32_t> directories_;  // extent: parent's extent
  std::set<std::pair<std::uint32_t, std::uint32_t>> extents_;
  bool name_continues_ = false;
  bool found_er_ = false;
};

}  // namespace

InspectedImage Inspect(std::string_view image) { return Inspector(image).Run(); }

}  // namespace cvm::cloudinit::testing
