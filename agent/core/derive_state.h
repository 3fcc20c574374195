// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cvm/agent/v1/instance.pb.h"

namespace cvm::agent::core {

// The one place where lifecycle, operation and observation become the word that people use.
v1::InstanceState DeriveState(const v1::Instance& instance);

// An operation on the instance is under way.
bool IsBusy(const v1::Instance& instance);

// The record holds disks, memory and addresses (false for one whose create failed or whose domain
// has been removed).
bool HoldsResources(const v1::Instance& instance);

// It holds resources and was last seen, or last known, to have a domain.
bool HasDomain(const v1::Instance& instance);

}  // namespace cvm::agent::core
