// SPDX-License-Identifier: Apache-2.0
#include "common/notify.h"

#include <systemd/sd-daemon.h>

#include <cstdint>
#include <string>

#include "common/text.h"
#include "fmt/format.h"

namespace cvm {
namespace {

absl::Status Send(const std::string& state) {
  const int sent = sd_notify(/*unset_environment=*/0, state.c_str());
  // 0: there is nobody to tell.
  if (sent < 0) return absl::ErrnoToStatus(-sent, "cannot notify systemd");
  return absl::OkStatus();
}

std::string StatusLine(std::string_view status) {
  return fmt::format("STATUS={}", PrintableText(status, LineBreaks::kEscape));
}

}  // namespace

absl::Status NotifyReady(std::string_view status) { return Send("READY=1\n" + StatusLine(status)); }

absl::Status NotifyStopping(std::string_view status) {
  return Send("STOPPING=1\n" + StatusLine(status));
}

absl::Status NotifyStatus(std::string_view status) { return Send(StatusLine(status)); }

absl::Status NotifyWatchdog() { return Send("WATCHDOG=1"); }

std::optional<absl::Duration> WatchdogInterval() {
  uint64_t microseconds = 0;
  if (sd_watchdog_enabled(/*unset_environment=*/0, &microseconds) <= 0) return std::nullopt;
  return absl::Microseconds(static_cast<int64_t>(microseconds));
}

}  // namespace cvm
