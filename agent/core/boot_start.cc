// SPDX-License-Identifier: Apache-2.0
#include "agent/core/boot_start.h"

#include <algorithm>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/core/derive_state.h"
#include "agent/core/maintenance.h"
#include "agent/core/planning.h"
#include "agent/core/power_steps.h"
#include "agent/core/stop_order.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// Refusals that say nothing about the guest: the next attempt may go through.
bool IsForNow(const absl::Status& status) {
  switch (ReasonOf(status)) {
    case ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS:
    case ErrorReason::ERROR_REASON_STATE_UNKNOWN:
    case ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE:
    case ErrorReason::ERROR_REASON_HOST_IN_MAINTENANCE:
    case ErrorReason::ERROR_REASON_STORE_UNAVAILABLE:
    case ErrorReason::ERROR_REASON_AGENT_STOPPING:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::vector<std::string> BootStartsLeft(const Ledger& ledger) {
  return absl::StrSplit(ledger.settings().Get(kBootStartsSetting), ',', absl::SkipEmpty());
}

BootStart::BootStart(const Core& core, std::string boot_id, Start start)
    : core_(core),
      boot_id_(std::move(boot_id)),
      start_(std::move(start)),
      next_start_(core.clock.Monotonic()) {}

absl::Status BootStart::NoteBoot() {
  const std::string before = core_.ledger.settings().Get(kBootIdSetting);
  if (before == boot_id_) return absl::OkStatus();
  std::vector<InstancePtr> wanted;
  if (!before.empty() && core_.config.operations.boot_start == "always") {
    for (const InstancePtr& instance : core_.ledger.instances().All()) {
      if (instance->lifecycle() == v1::LIFECYCLE_PRESENT &&
          instance->wanted_power() == v1::WANTED_POWER_ON) {
        wanted.push_back(instance);
      }
    }
  }
  SortForStop(wanted);
  std::reverse(wanted.begin(), wanted.end());
  const std::string ids = absl::StrJoin(
      wanted, ",",
      [](std::string* out, const InstancePtr& instance) { out->append(instance->id()); });
  CVM_LOG_INFO("the host has booted ({}); guests to start: {}", boot_id_,
               ids.empty() ? "none" : ids);
  LedgerChange change;
  change.put_settings.emplace_back(kBootIdSetting, boot_id_);
  change.put_settings.emplace_back(kBootStartsSetting, ids);
  return core_.ledger.Commit(change);
}

bool BootStart::Tick() {
  for (const std::string& id : BootStartsLeft(core_.ledger)) {
    if (!RequireConnected(core_).ok() || !CheckMaintenance(core_).ok()) return true;
    if (core_.clock.Monotonic() < next_start_) return true;
    if (UnderWay() >= static_cast<size_t>(core_.config.operations.boot_start_parallel)) return true;
    const Next next = TryStart(id);
    if (next == Next::kLater) continue;
    // Submitted again under the same request id, should this not be written down.
    if (!Forget(id)) return true;
    if (next == Next::kTaken) {
      next_start_ = core_.clock.Monotonic() + core_.config.operations.boot_start_delay;
    }
  }
  return !BootStartsLeft(core_.ledger).empty();
}

BootStart::Next BootStart::TryStart(const std::string& instance_id) {
  const InstancePtr instance = core_.ledger.instances().Find(instance_id);
  if (instance == nullptr || instance->lifecycle() != v1::LIFECYCLE_PRESENT ||
      instance->wanted_power() != v1::WANTED_POWER_ON) {
    return Next::kDropped;
  }
  if (IsBusy(*instance)) return Next::kLater;
  if (IsOn(instance->observed_power().state())) return Next::kDropped;
  v1::StartInstanceRequest request;
  request.set_instance_id(instance_id);
  request.set_request_id(fmt::format("boot-{}-{}", boot_id_, instance_id));
  const absl::StatusOr<v1::Operation> operation = start_(request);
  if (operation.ok()) {
    CVM_LOG_INFO("starting {}, which was meant to be on", instance_id);
    started_.insert(instance_id);
    return Next::kTaken;
  }
  if (IsForNow(operation.status())) return Next::kLater;
  CVM_LOG_ERROR("{} was meant to be on and cannot be started: {}", instance_id,
                std::string(operation.status().message()));
  return Next::kDropped;
}

bool BootStart::Forget(const std::string& instance_id) {
  std::vector<std::string> left = BootStartsLeft(core_.ledger);
  std::erase(left, instance_id);
  LedgerChange change;
  change.put_settings.emplace_back(kBootStartsSetting, absl::StrJoin(left, ","));
  const absl::Status written = core_.ledger.Commit(change);
  if (!written.ok()) {
    CVM_LOG_WARNING("cannot write down that {} was dealt with: {}", instance_id,
                    std::string(written.message()));
  }
  return written.ok();
}

size_t BootStart::UnderWay() {
  std::erase_if(started_, [this](const std::string& id) {
    const InstancePtr instance = core_.ledger.instances().Find(id);
    return instance == nullptr || !IsBusy(*instance);
  });
  return started_.size();
}

}  // namespace cvm::agent::core
