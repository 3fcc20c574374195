// SPDX-License-Identifier: Apache-2.0
//
// Runs the program qemu-img within limits and turns its failures into our errors.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/subprocess.h"
#include "drivers/images/disk_images.h"

namespace cvm::images {

// A descriptor as the file name of an image of a stated format that has no backing file, whatever
// its header says by the time that QEMU reads it. `fd` must be among the child's inherit_fds.
std::string DescriptorFilename(int fd, Format format);

// The name that QEMU knows the format by.
std::string_view FormatName(Format format);

// The limits for one that works on our own files only. Foreign data needs more time and a bound on
// what is written: the caller sets those.
CommandLimits QemuImgLimits();

// Runs `qemu-img <arguments>`. A result, of whatever exit code, when it came to its own end.
// Errors: OPERATION_CANCELLED, COMMAND_FAILED (absent, out of time, killed for its limits).
absl::StatusOr<CommandResult> RunQemuImg(const std::vector<std::string>& arguments,
                                         const CommandLimits& limits);

// What a non-zero exit code means, from what it printed: NO_SPACE, IMAGE_IN_USE, IMAGE_CORRUPT (the
// source cannot be read) or COMMAND_FAILED. Its output goes to the log, not into the message: it
// names host paths.
absl::Status QemuImgError(std::string_view subcommand, const CommandResult& result);

}  // namespace cvm::images
