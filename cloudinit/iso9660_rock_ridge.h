// SPDX-License-Identifier: Apache-2.0
//
// The Rock Ridge part of a directory record: SUSP entries (IEEE P1281) with RRIP 1991A contents.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cvm::cloudinit::iso {

// Where entries go that do not fit into their directory record. Filled while directories are
// written; a piece never crosses a sector.
class ContinuationArea {
 public:
  explicit ContinuationArea(std::uint32_t first_sector) : first_sector_(first_sector) {}

  struct Place {
    std::uint32_t sector;
    std::uint32_t offset;
  };
  // Appends `piece`, at most one sector long.
  Place Append(std::string_view piece);

  [[nodiscard]] std::uint32_t SectorCount() const;
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::uint32_t first_sector_;
  std::string bytes_;
};

struct RockRidgeEntry {
  std::string_view name;  // empty for '.' and '..'
  bool is_directory = false;
  bool is_root_self = false;  // the '.' of the root: announces SUSP and Rock Ridge
  std::uint32_t mode = 0;     // permission bits
  std::uint32_t links = 1;
  std::chrono::sys_seconds mtime;
};

// The system use field for a record that leaves `room` bytes for it (at least 130); always of even
// length. What does not fit goes to `continuation`.
std::string RockRidgeField(const RockRidgeEntry& entry, std::size_t room,
                           ContinuationArea& continuation);

}  // namespace cvm::cloudinit::iso
