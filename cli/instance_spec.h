// SPDX-License-Identifier: Apache-2.0
//
// Flags that make parts of an instance's spec, for the commands that have them in common. Errors
// are INVALID_ARGUMENT and name the flag.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::cli {

// A file that a flag names.
absl::StatusOr<std::string> ReadUsersFile(const std::string& path);

// --tag KEY=VALUE
absl::Status AddTags(const std::vector<std::string>& tags, agent::v1::InstanceSpec* spec);

// --user-data FILE, if given.
absl::Status AddUserData(const std::string& path, agent::v1::InstanceSpec* spec);

}  // namespace cvm::cli
