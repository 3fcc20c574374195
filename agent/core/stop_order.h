// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "agent/core/instance_table.h"

namespace cvm::agent::core {

// The tag with which operators say which guests go down first when the host does.
inline constexpr char kStopOrderTag[] = "cvm.stop-order";

// The number of the tag; 0 when it is absent or anything else than -1000 to 1000.
int StopOrder(const v1::Instance& instance);

// In the order in which they are stopped: lowest number first, then the newest. They are started in
// the opposite one.
void SortForStop(std::vector<InstancePtr>& instances);

}  // namespace cvm::agent::core
