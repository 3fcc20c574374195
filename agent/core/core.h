// SPDX-License-Identifier: Apache-2.0
//
// What workflows and managers work with, gathered once by the app.
#pragma once

#include <functional>

#include "agent/config.h"
#include "agent/core/ledger.h"
#include "agent/paths.h"
#include "common/clock.h"
#include "common/ids.h"
#include "drivers/hypervisor/hypervisor.h"
#include "drivers/images/disk_images.h"
#include "drivers/network/bridges.h"

namespace cvm::agent::core {

class EventLog;
class OperationEngine;
class PowerMonitor;

struct DiskSpace {
  uint64_t total_bytes = 0;
  uint64_t free_bytes = 0;
};

// References only; what they name outlives every user. Thread-safe as each part is.
struct Core {
  const Config& config;
  const Paths& paths;
  const Clock& clock;
  Random& random;
  Ledger& ledger;
  PowerMonitor& power;
  hypervisor::Hypervisor& hypervisor;
  images::DiskImages& disk_images;
  network::Bridges& bridges;
  // Of the file system that holds the volumes.
  std::function<absl::StatusOr<DiskSpace>()> disk_space;
  EventLog& events;
  // For a workflow that is made of other operations; the engine is made after this.
  std::function<OperationEngine&()> engine;
};

}  // namespace cvm::agent::core
