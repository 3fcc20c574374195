// SPDX-License-Identifier: Apache-2.0
//
// Which network, MAC and address each NIC of a new instance gets.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "agent/config.h"
#include "agent/core/instance_table.h"
#include "common/ids.h"

namespace cvm::agent::core {

// Fills in what `spec` leaves open and checks what it gives against the networks and against the
// other instances (those that hold resources). Pure but for `random`. NETWORK_NOT_FOUND,
// ADDRESS_NOT_IN_SUBNET, ADDRESS_IN_USE, NO_FREE_ADDRESS, MAC_IN_USE, DUPLICATE_ID.
absl::Status AssignNics(const Config& config, const std::vector<InstancePtr>& others,
                        Random& random, v1::InstanceSpec& spec);

// The host's name for the tap device of an instance's NIC: the same after every start, at most 15
// bytes ("cvm1a2b3c4d-0").
std::string TapName(const std::string& instance_id, int nic_index);

}  // namespace cvm::agent::core
