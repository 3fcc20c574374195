// SPDX-License-Identifier: Apache-2.0
//
// One of the two hierarchies of an image (primary or Joliet): its directories in path-table order,
// and the bytes of their records.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cloudinit/iso9660_rock_ridge.h"
#include "cloudinit/iso9660_tree.h"

namespace cvm::cloudinit::iso {

enum class Naming { kPrimary, kJoliet };

class Hierarchy {
 public:
  // `root` must outlive the hierarchy.
  Hierarchy(Naming naming, const Node& root, std::chrono::sys_seconds mtime);

  // Gives every directory its sectors, from `first_sector` on; returns the sector after the last,
  // the continuation area (primary only) included. Call once, before the calls below.
  std::uint32_t Place(std::uint32_t first_sector);

  // The directories and the continuation area, with the extents that files have by now.
  [[nodiscard]] std::string Directories() const;
  [[nodiscard]] std::string PathTable(bool big_endian) const;
  [[nodiscard]] std::size_t PathTableBytes() const;
  // The 34-byte record of the root that a volume descriptor holds.
  [[nodiscard]] std::string RootRecord() const;

 private:
  struct Entry {
    std::string identifier;
    std::string name;  // the real one
    const Node* node;
    std::size_t directory = 0;  // index into directories_, of a directory
  };
  struct Directory {
    const Node* node;
    std::size_t parent;  // index; the root is its own parent
    std::string identifier;
    std::uint32_t extent = 0;
    std::uint32_t bytes = 0;          // a multiple of the sector size
    std::vector<Entry> entries = {};  // in record order
  };

  [[nodiscard]] std::vector<Entry> SortedEntries(const Node& node) const;
  [[nodiscard]] std::string Records(const Directory& directory,
                                    ContinuationArea& continuation) const;
  [[nodiscard]] std::string DirectoryRecord(const Directory& target, std::string_view identifier,
                                            const RockRidgeEntry& attributes,
                                            ContinuationArea& continuation) const;
  [[nodiscard]] std::string Record(std::string_view identifier, std::uint32_t extent,
                                   std::uint32_t bytes, const RockRidgeEntry& attributes,
                                   ContinuationArea& continuation) const;
  [[nodiscard]] RockRidgeEntry Attributes(const Node& node, std::string_view name) const;

  Naming naming_;
  std::chrono::sys_seconds mtime_;
  std::vector<Directory> directories_;
  std::uint32_t continuation_sector_ = 0;
};

}  // namespace cvm::cloudinit::iso
