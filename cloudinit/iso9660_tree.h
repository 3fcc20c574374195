// SPDX-License-Identifier: Apache-2.0
//
// The directory tree that WriteIso puts on the disc: checked, sorted, independent of input order.
#pragma once

#include <absl/status/statusor.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cloudinit/iso9660.h"

namespace cvm::cloudinit::iso {

inline constexpr std::uint32_t kDirectoryMode = 0555;

struct Node {
  bool is_directory = false;
  std::uint32_t mode = kDirectoryMode;
  std::string content;       // of a file
  std::uint32_t extent = 0;  // of a file: its first sector, set when the image is laid out
  // By their real name, in byte order. Of a directory.
  std::map<std::string, std::unique_ptr<Node>> children;

  // POSIX link count: itself, its '.', and the '..' of each directory in it.
  [[nodiscard]] std::uint32_t LinkCount() const;
};

// Checks every file and builds the tree; the returned node is the root directory. Errors are those
// that WriteIso lists.
absl::StatusOr<std::unique_ptr<Node>> BuildTree(std::vector<IsoFile> files);

}  // namespace cvm::cloudinit::iso
