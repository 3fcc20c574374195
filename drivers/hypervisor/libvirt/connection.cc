// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/connection.h"

#include <libvirt/virterror.h>

#include "common/log.h"
#include "drivers/hypervisor/libvirt/event_loop.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"

namespace cvm::hypervisor {

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

}  // namespace cvm::hypervisor
