// SPDX-License-Identifier: Apache-2.0
//
// Reads the header of a qcow2 file that nobody has vouched for.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "drivers/images/image_source.h"

namespace cvm::images {

struct Qcow2Header {
  uint32_t version = 0;
  uint64_t virtual_size_bytes = 0;
  uint32_t cluster_bits = 0;
  uint32_t l1_entries = 0;
  uint64_t l1_offset = 0;
};

// A header that has come through names no other file, needs no key and no feature beyond those of
// qcow2 version 3 that are safe to open, and has its tables within the file; every L1 entry points
// at a whole cluster within the file. What lies behind the L1 table is for `qemu-img check`.
//
// Errors: IMAGE_FORMAT_MISMATCH (no qcow2 magic; the old qcow format), IMAGE_UNSAFE (backing file,
// external data file, encryption, unknown incompatible features or version, internal snapshots),
// IMAGE_TOO_LARGE, IMAGE_CORRUPT.
absl::StatusOr<Qcow2Header> ReadForeignQcow2Header(const ImageSource& source,
                                                   uint64_t max_virtual_size_bytes);

// The virtual size that the header of one of our own qcow2 files states; a backing file is fine.
// IMAGE_CORRUPT when it is no qcow2 file.
absl::StatusOr<uint64_t> ReadQcow2VirtualSize(const ImageSource& source);

}  // namespace cvm::images
