// SPDX-License-Identifier: Apache-2.0
#include "agent/core/recycle_bin.h"

#include <utility>

#include "common/log.h"

namespace cvm::agent::core {
namespace {

// How much of a period a crash of the agent can take back.
constexpr absl::Duration kWriteEvery = absl::Minutes(10);

}  // namespace

RecycleBin::RecycleBin(const Core& core, Purge purge)
    : core_(core), purge_(std::move(purge)), last_tick_(core.clock.Monotonic()) {}

void RecycleBin::Tick() {
  const absl::Duration now = core_.clock.Monotonic();
  const absl::Duration passed = now - std::exchange(last_tick_, now);
  std::map<std::string, absl::Duration> unwritten;
  for (const InstancePtr& instance : core_.ledger.instances().All()) {
    if (instance->lifecycle() != v1::LIFECYCLE_RECYCLED) continue;
    const std::string& id = instance->id();
    const auto counted = unwritten_.find(id);
    // One that is new here may have come in at any instant since the last call.
    absl::Duration fresh =
        counted == unwritten_.end() ? absl::ZeroDuration() : counted->second + passed;
    const v1::RecyclePeriod& period = instance->recycle();
    const absl::Duration elapsed = FromProtoDuration(period.elapsed()) + fresh;
    const absl::Duration length = FromProtoDuration(period.length());
    const bool due =
        elapsed >= length && core_.clock.Now() >= FromTimestamp(period.begin_time()) + length;
    if (fresh >= kWriteEvery || (due && fresh > absl::ZeroDuration())) {
      LedgerChange change;
      change.UpdateInstance(id, [elapsed](v1::Instance& changed) {
        *changed.mutable_recycle()->mutable_elapsed() = ToProtoDuration(elapsed);
      });
      if (const absl::Status written = core_.ledger.Commit(change); written.ok()) {
        fresh = absl::ZeroDuration();
      } else {
        CVM_LOG_WARNING("cannot write down the recycle period of {}: {}", id,
                        std::string(written.message()));
      }
    }
    unwritten[id] = fresh;
    if (!due || instance->spec().termination_protection()) continue;
    CVM_LOG_INFO("the recycle period of {} is over: deleting it", id);
    if (const auto operation = purge_(id); !operation.ok()) {
      CVM_LOG_WARNING("cannot delete {} yet: {}", id, std::string(operation.status().message()));
    }
  }
  unwritten_ = std::move(unwritten);
}

}  // namespace cvm::agent::core
