// SPDX-License-Identifier: Apache-2.0
//
// The daemon put together: the only place that names concrete classes.
#pragma once

#include "absl/status/status.h"
#include "agent/config.h"

namespace cvm::agent {

// Runs until SIGTERM or SIGINT, then stops cleanly and leaves the guests running. Blocks the two
// signals in every thread: call it before any thread is made. Errors are those of the start.
absl::Status RunAgent(const Config& config);

}  // namespace cvm::agent
