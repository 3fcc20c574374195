// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/status.h"

namespace cvm::hypervisor {

// Initialises libvirt and starts the thread that runs its event loop, once per process; to be
// called before the first connection is opened. libvirt's loop belongs to the process and cannot be
// taken down, so the thread runs until the process ends. Makes the process ignore SIGPIPE, unless
// it has a handler for it.
absl::Status EnsureEventLoop();

}  // namespace cvm::hypervisor
