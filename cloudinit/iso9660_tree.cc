// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660_tree.h"

#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/utf8.h"

namespace cvm::cloudinit::iso {
namespace {

// A path that is to be shown in an error: bounded, and without bytes that garble a log.
std::string Shown(std::string_view path) {
  constexpr std::size_t kMaxShown = 80;
  std::string out;
  for (const char c : path.substr(0, kMaxShown)) {
    const bool printable = c >= 0x20 && c < 0x7f;
    out += printable ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<std::uint8_t>(c));
  }
  return path.size() > kMaxShown ? out + "..." : out;
}

absl::Status Refuse(std::string_view path, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("path '{}' {}", Shown(path), why));
}

std::vector<std::string_view> Split(std::string_view path) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t slash = path.find('/');
    parts.push_back(path.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    path.remove_prefix(slash + 1);
  }
}

absl::Status CheckComponent(std::string_view path, std::string_view component) {
  if (component.empty()) return Refuse(path, "has an empty component");
  if (component == "." || component == "..") return Refuse(path, "has a '.' or '..' component");
  if (component.size() > kIsoMaxNameBytes) {
    return Refuse(path, fmt::format("has a component of {} bytes; at most {} are allowed",
                                    component.size(), kIsoMaxNameBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckFile(const IsoFile& file) {
  const std::string_view path = file.path;
  if (path.empty()) return absl::InvalidArgumentError("a file has an empty path");
  if (path.front() == '/') return Refuse(path, "is absolute; give it relative to the root");
  if (HasControlCharacter(path)) return Refuse(path, "holds a NUL or another control character");
  if (!IsUtf8(path)) return Refuse(path, "is not UTF-8");
  if (file.mode > 0777) return Refuse(path, fmt::format("has mode {:o}, above 0777", file.mode));
  if (file.content.size() > kIsoMaxFileBytes) {
    return Refuse(path, fmt::format("has {} bytes of content; at most {} are allowed",
                                    file.content.size(), kIsoMaxFileBytes));
  }
  return absl::OkStatus();
}

// Puts one file into the tree, making its directories.
absl::Status Insert(Node& root, IsoFile file) {
  const std::vector<std::string_view> parts = Split(file.path);
  if (parts.size() > kIsoMaxDirectoryDepth + 1) {
    return Refuse(file.path, fmt::format("is {} directories deep; at most {} are allowed",
                                         parts.size() - 1, kIsoMaxDirectoryDepth));
  }
  for (const std::string_view part : parts) {
    if (absl::Status status = CheckComponent(file.path, part); !status.ok()) return status;
  }
  Node* directory = &root;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    std::unique_ptr<Node>& child = directory->children[std::string(parts[i])];
    if (child == nullptr) {
      child = std::make_unique<Node>();
      child->is_directory = true;
    } else if (!child->is_directory) {
      return Refuse(file.path, fmt::format("needs '{}' to be a directory, but it is also a file",
                                           Shown(parts[i])));
    }
    directory = child.get();
  }
  std::unique_ptr<Node>& leaf = directory->children[std::string(parts.back())];
  if (leaf != nullptr) {
    return Refuse(file.path, leaf->is_directory ? "is both a file and a directory"
                                                : "is given more than once (duplicate)");
  }
  leaf = std::make_unique<Node>();
  leaf->mode = file.mode;
  leaf->content = std::move(file.content);
  return absl::OkStatus();
}

}  // namespace

std::uint32_t Node::LinkCount() const {
  if (!is_directory) return 1;
  const auto directories = std::count_if(children.begin(), children.end(), [](const auto& child) {
    return child.second->is_directory;
  });
  return 2 + static_cast<std::uint32_t>(directories);
}

absl::StatusOr<std::unique_ptr<Node>> BuildTree(std::vector<IsoFile> files) {
  if (files.empty()) return absl::InvalidArgumentError("there are no files to write");
  if (files.size() > kIsoMaxFiles) {
    return absl::InvalidArgumentError(
        fmt::format("there are {} files; at most {} are allowed", files.size(), kIsoMaxFiles));
  }
  // Sorted, so that which of two bad files is reported does not depend on the caller's order.
  std::sort(files.begin(), files.end(),
            [](const IsoFile& a, const IsoFile& b) { return a.path < b.path; });
  auto root = std::make_unique<Node>();
  root->is_directory = true;
  std::size_t total = 0;
  for (IsoFile& file : files) {
    if (absl::Status status = CheckFile(file); !status.ok()) return status;
    total += file.content.size();
    if (total > kIsoMaxTotalBytes) {
      return absl::InvalidArgumentError(
          fmt::format("the files hold more than {} bytes together", kIsoMaxTotalBytes));
    }
    if (absl::Status status = Insert(*root, std::move(file)); !status.ok()) return status;
  }
  return root;
}

}  // namespace cvm::cloudinit::iso
