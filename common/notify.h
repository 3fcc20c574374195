// SPDX-License-Identifier: Apache-2.0
//
// Tells systemd how the daemon is doing (sd_notify). Without NOTIFY_SOCKET in the environment
// nothing is sent and all is well. Thread-safe, as long as nobody changes the environment. Errors
// are those of sending: to be logged, never a cause to stop.
#pragma once

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace cvm {

// Start-up is done. `status` is shown by systemctl status; line breaks in it are escaped.
absl::Status NotifyReady(std::string_view status);
absl::Status NotifyStopping(std::string_view status);
absl::Status NotifyStatus(std::string_view status);
// Proof of life; to be sent at half of WatchdogInterval().
absl::Status NotifyWatchdog();

// After which silence systemd kills this process; nothing when it does not watch.
std::optional<absl::Duration> WatchdogInterval();

}  // namespace cvm
