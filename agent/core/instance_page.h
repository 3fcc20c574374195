// SPDX-License-Identifier: Apache-2.0
//
// The answer of ListInstances.
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "agent/core/instance_table.h"

namespace cvm::agent::core {

struct InstancePage {
  std::vector<EncodedInstance> instances;
  // Empty on the last page.
  std::string next_page_token;
  absl::Time observed_at;
};

// The page as a serialized ListInstancesResponse.
std::string Serialize(const InstancePage& page);

}  // namespace cvm::agent::core
