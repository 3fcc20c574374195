// SPDX-License-Identifier: Apache-2.0
//
// Brings a file beneath the agent's import folder, from where alone the agent takes images.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/file.h"
#include "common/ids.h"

namespace cvm::cli {

// A file of ours in the import folder; removed when destroyed, unless Remove() did it before.
class PlacedFile {
 public:
  // `name` is within the folder `folder`.
  PlacedFile(UniqueFd folder, std::string name)
      : folder_(std::move(folder)), name_(std::move(name)) {}
  ~PlacedFile();
  PlacedFile(const PlacedFile&) = delete;
  PlacedFile& operator=(const PlacedFile&) = delete;
  absl::Status Remove();

 private:
  const UniqueFd folder_;
  const std::string name_;
  bool there_ = true;
};

struct Placement {
  enum class Means { kInPlace, kReflink, kHardLink, kCopy };
  // For the agent: relative to the import folder.
  std::string source_file;
  Means means = Means::kInPlace;
  // Null for a file that lies in the folder by itself.
  std::unique_ptr<PlacedFile> placed;
};

struct PlacementOptions {
  // Which of the quick ways may be taken.
  bool reflink = true;
  bool hard_link = true;
  // Told from time to time how many bytes of how many are copied; false stops the copy with
  // CANCELLED.
  std::function<bool(uint64_t done, uint64_t size)> on_copied = nullptr;
};

// A file beneath the folder is taken where it is. Another gets a second name in the folder: as a
// reflink, as a hard link if it belongs to the caller, or as a copy that keeps its holes. Errors:
// InvalidArgument (no such file, no regular file, no permission, no such folder), ResourceExhausted
// (no space), Internal.
absl::StatusOr<Placement> PlaceImage(const std::string& file, const std::string& import_folder,
                                     const PlacementOptions& options, Random& random);

}  // namespace cvm::cli
