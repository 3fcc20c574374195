// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/time/time.h"

namespace cvm::hypervisor {

struct LibvirtOptions {
  std::string uri = "qemu:///system";

  // A daemon that has not answered for the product of the two is given up and connected anew.
  int keepalive_interval_seconds = 5;
  unsigned keepalive_count = 3;

  // How often the daemon is asked for a sign of life.
  absl::Duration answer_interval = absl::Seconds(1);

  // How long a caller waits. The first call after the start of libvirtd probes QEMU (seconds).
  absl::Duration call_deadline = absl::Seconds(30);
  // DefineDomain and StartDomain.
  absl::Duration long_call_deadline = absl::Seconds(120);
  // libvirt itself waits up to 45 s for a QEMU that does not end.
  absl::Duration destroy_deadline = absl::Seconds(60);

  // The pause between attempts to connect; doubled with each from the first to the second.
  absl::Duration reconnect_min = absl::Milliseconds(200);
  absl::Duration reconnect_max = absl::Seconds(5);

  // How long Stop() waits for calls under way before it leaves their threads behind.
  absl::Duration stop_grace = absl::Seconds(5);

  size_t general_workers = 8;
  size_t destroy_workers = 2;
  // Calls that wait for a worker; more are refused at once.
  size_t max_pending = 256;
};

}  // namespace cvm::hypervisor
