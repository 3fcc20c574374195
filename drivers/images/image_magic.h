// SPDX-License-Identifier: Apache-2.0
//
// Recognises a file by its magic bytes. Used to refuse, never to choose a format: the format of an
// image is what its owner states, checked here against what the file looks like.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "drivers/images/image_source.h"

namespace cvm::images {

// What the file is for certain, as a name for people ("qcow2", "VMDK", "gzip"...): disk image
// formats, encrypted containers, and archives or compressed files that hold an image. Empty when it
// is none that is known, so that it can be a raw disk. A hybrid ISO 9660 image counts as a raw
// disk.
absl::StatusOr<std::string_view> RecognizeFormat(const ImageSource& source);

}  // namespace cvm::images
