// SPDX-License-Identifier: Apache-2.0
//
// The check that every image from outside passes before any QEMU program sees it.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "drivers/images/disk_images.h"

namespace cvm::images {

// As DiskImages::InspectForeign. Reads by pread only; the descriptor's offset stays. Thread-safe.
absl::StatusOr<ImageInfo> InspectForeignImage(int fd, Format format,
                                              uint64_t max_virtual_size_bytes);

}  // namespace cvm::images
