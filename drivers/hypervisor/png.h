// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::hypervisor {

// Larger screens are refused.
inline constexpr uint32_t kMaxScreenSide = 16384;
inline constexpr size_t kMaxScreenBytes = size_t{256} << 20;

// Turns a binary PPM ("P6", 8 bits a sample), QEMU's screen dump, into PNG. The guest chooses the
// size of its screen: HYPERVISOR_ERROR for what is malformed, short or too large.
absl::StatusOr<Screenshot> PpmToPng(std::string_view ppm);

// The same for either form that QEMU dumps a screen in: PNG where it can (from version 7.1 on),
// whose size alone is then looked at, PPM otherwise.
absl::StatusOr<Screenshot> ScreenshotFromDump(std::string dump);

}  // namespace cvm::hypervisor
