// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "cloudinit/iso9660.h"

namespace cvm::cloudinit::testing {

// 2024-02-29 23:59:58 UTC: every field of the date shows when it is swapped with another.
inline constexpr std::chrono::sys_seconds kTestTime =
    std::chrono::sys_days(std::chrono::year(2024) / std::chrono::February / 29) +
    std::chrono::hours(23) + std::chrono::minutes(59) + std::chrono::seconds(58);

inline IsoOptions TestOptions() { return {.volume_label = "config-2", .mtime = kTestTime}; }

// A tree with everything that is hard about the format: depth, long names, names that become equal
// in 8.3, empty files, exact sector sizes, a directory of several sectors, non-ASCII names.
std::vector<IsoFile> HardTree();

}  // namespace cvm::cloudinit::testing
