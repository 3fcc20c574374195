// SPDX-License-Identifier: Apache-2.0
//
// Deletes instances whose recycle period has ended. The time is counted by the monotonic clock and
// only while the agent runs, and the wall clock must agree: a wall clock that jumps deletes
// nothing, and a host that was off gives its instances that much longer.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/core/core.h"
#include "cvm/agent/v1/operation.pb.h"

namespace cvm::agent::core {

// For one thread.
class RecycleBin {
 public:
  // Submits the final deletion of an instance.
  using Purge = std::function<absl::StatusOr<v1::Operation>(const std::string& instance_id)>;

  // `core` outlives the bin.
  RecycleBin(const Core& core, Purge purge);

  // Counts the time since the last call and deletes what is due. To be called every minute or so.
  void Tick();

 private:
  const Core& core_;
  const Purge purge_;
  absl::Duration last_tick_;
  // Counted since it was last written down, by instance id.
  std::map<std::string, absl::Duration> unwritten_;
};

}  // namespace cvm::agent::core
