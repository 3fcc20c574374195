// SPDX-License-Identifier: Apache-2.0
//
// The errors of the hypervisor interface, as the fake words them.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "common/errors.h"

namespace cvm::hypervisor::fake {

inline absl::Status Unavailable(const std::string& why) {
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE,
               "The hypervisor does not answer: " + why + ".");
}

inline absl::Status WrongState(const std::string& name, const std::string& state) {
  return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
               "Domain '" + name + "' " + state + ".");
}

}  // namespace cvm::hypervisor::fake
