// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/paths.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::agent::core {

// The ids of the instance's disks whose files are not there.
std::vector<std::string> MissingDisks(const Paths& paths, const v1::Instance& instance);

// Removes the files of all disks of the instance, and what an interrupted step left beside them.
// What is gone already is no error.
absl::Status RemoveDisks(const Paths& paths, const v1::Instance& instance);

// Removes the instance's folder with the config drive, the console log and the UEFI variables.
absl::Status RemoveInstanceFolder(const Paths& paths, const std::string& instance_id);

}  // namespace cvm::agent::core
