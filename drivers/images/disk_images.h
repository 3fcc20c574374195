// SPDX-License-Identifier: Apache-2.0
//
// Disk image files: inspection, conversion, overlays. The implementation runs qemu-img; images that
// come from outside are hostile, so their header is read by our own code first and the format is
// always passed on explicitly.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace cvm::images {

enum class Format { kQcow2, kRaw };

struct ImageInfo {
  uint64_t virtual_size_bytes = 0;
  // What the file takes on the disk.
  uint64_t stored_size_bytes = 0;
};

struct ConvertRequest {
  int source_fd = -1;  // open for reading; the path is never needed again
  Format source_format = Format::kQcow2;
  std::string target_path;  // absolute; must not exist
  uint64_t max_virtual_size_bytes = 0;
  std::function<bool()> cancelled;
  std::function<void(double fraction)> progress;
};

// Thread-safe. Paths are absolute and chosen by the agent, never by a caller; a caller in the agent
// that breaks this gets INTERNAL.
class DiskImages {
 public:
  virtual ~DiskImages() = default;

  // Reads the header of a foreign image with our own code and refuses what must not reach QEMU:
  // IMAGE_FORMAT_MISMATCH (not the stated format: a raw file that is some other format counts too),
  // IMAGE_UNSAFE (backing file, external data file, encryption, unknown incompatible features,
  // tables out of range), IMAGE_TOO_LARGE, IMAGE_CORRUPT (truncated, inconsistent).
  virtual absl::StatusOr<ImageInfo> InspectForeign(int fd, Format format,
                                                   uint64_t max_virtual_size_bytes) = 0;

  // Converts a file that InspectForeign has passed into a sparse qcow2, in a limited child process,
  // and fsyncs it. On any error, cancel included, the target is gone. The header is read again, so
  // InspectForeign's errors may come, if the file changed meanwhile; and IMAGE_IN_USE (a process
  // holds it open for writing), IMAGE_CORRUPT, NO_SPACE, COMMAND_FAILED, OPERATION_CANCELLED.
  virtual absl::Status Convert(const ConvertRequest& request) = 0;

  // Makes a qcow2 overlay of `size_bytes` on a read-only qcow2 base. A file that is there already
  // is replaced (a half-made one of an interrupted step). fsynced with its folder. INVALID_FIELD
  // (no size), DISK_TOO_SMALL (smaller than the base), IMAGE_CORRUPT (of the base), NO_SPACE,
  // COMMAND_FAILED.
  virtual absl::Status CreateOverlay(const std::string& path, const std::string& base_path,
                                     uint64_t size_bytes) = 0;
  // Makes an empty qcow2 of `size_bytes`; otherwise as CreateOverlay.
  virtual absl::Status CreateEmpty(const std::string& path, uint64_t size_bytes) = 0;

  // Of one of our own qcow2 files, also while a guest runs on it. IMAGE_CORRUPT, COMMAND_FAILED.
  virtual absl::StatusOr<ImageInfo> Inspect(const std::string& path) = 0;
};

std::unique_ptr<DiskImages> MakeQemuDiskImages();

}  // namespace cvm::images
