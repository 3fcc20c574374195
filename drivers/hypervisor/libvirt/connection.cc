// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/connection.h"

#include <libvirt/virterror.h>

#include <chrono>

#include "common/log.h"
#include "drivers/hypervisor/libvirt/event_loop.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"

namespace cvm::hypervisor {
namespace {

int64_t SteadyNanoseconds() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

absl::StatusOr<ConnectHandle> OpenConnection(const LibvirtOptions& options) {
  if (absl::Status status = EnsureEventLoop(); !status.ok()) return status;
  ConnectHandle connection(virConnectOpen(options.uri.c_str()));
  if (connection == nullptr) {
    const absl::Status status = LastLibvirtError("connect to its daemon");
    return Unavailable(std::string(status.message()));
  }
  // Drivers without a daemon have no keepalive and need none.
  if (virConnectSetKeepAlive(connection.get(), options.keepalive_interval_seconds,
                             options.keepalive_count) < 0 &&
      LastLibvirtCode() != VIR_ERR_NO_SUPPORT) {
    return LastLibvirtError("enable keepalive");
  }
  return connection;
}

void ConnectionState::Answered() { last_answer_ = SteadyNanoseconds(); }

absl::Duration ConnectionState::SinceLastAnswer() const {
  const int64_t last = last_answer_;
  if (last == 0) return absl::InfiniteDuration();
  return absl::Nanoseconds(SteadyNanoseconds() - last);
}

}  // namespace cvm::hypervisor
