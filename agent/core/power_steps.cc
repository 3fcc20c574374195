// SPDX-License-Identifier: Apache-2.0
#include "agent/core/power_steps.h"

#include <charconv>

#include "agent/core/domain_builder.h"
#include "agent/core/networks.h"
#include "agent/core/power_monitor.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using v1::ObservedPower;

// How long to trust that an event will come.
constexpr absl::Duration kRefreshAfter = absl::Seconds(2);

}  // namespace

bool IsOff(ObservedPower::State state) {
  return state == ObservedPower::STOPPED || state == ObservedPower::CRASHED ||
         state == ObservedPower::ABSENT;
}

bool IsOn(ObservedPower::State state) {
  return state == ObservedPower::RUNNING || state == ObservedPower::PAUSED ||
         state == ObservedPower::SUSPENDED;
}

absl::StatusOr<InstancePtr> RequireInstance(const Core& core, const std::string& id) {
  InstancePtr instance = core.ledger.instances().Find(id);
  if (instance == nullptr) {
    return Error(ErrorReason::ERROR_REASON_INSTANCE_NOT_FOUND,
                 fmt::format("there is no instance {} on this host", id), {{"instance_id", id}});
  }
  return instance;
}

absl::StatusOr<StepResult> WaitForPower(const Core& core, const std::string& instance_id,
                                        const std::function<bool(ObservedPower::State)>& reached) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, instance_id));
  if (reached(instance->observed_power().state())) return StepResult::Done();
  const absl::Duration age =
      core.clock.Now() - FromTimestamp(instance->observed_power().observed_at());
  if (age > kRefreshAfter) {
    CVM_RETURN_IF_ERROR(core.power.Refresh(core.hypervisor, instance->uuid()));
  }
  return StepResult::WaitAtMost(kRefreshAfter);
}

Step StartDomainStep(const Core& core, const std::string& instance_id, uint32_t percent) {
  return {
      .name = "starting the guest",
      .percent = percent,
      .run = [&core, instance_id](StepContext& context) -> absl::StatusOr<StepResult> {
        CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, instance_id));
        std::optional<absl::Time> started = TimeNote(context, "started");
        if (!started) {
          CVM_RETURN_IF_ERROR(core.hypervisor.StartDomain(instance->uuid()));
          started = core.clock.Now();
          SetTimeNote(context, "started", *started);
        }
        context.change().UpdateInstance(instance_id, [](v1::Instance& changed) {
          changed.set_wanted_power(v1::WANTED_POWER_ON);
        });
        if (IsOn(instance->observed_power().state())) return StepResult::Done();
        if (core.clock.Now() - *started < kRefreshAfter) {
          return StepResult::WaitAtMost(kRefreshAfter);
        }
        // No event: one was missed, or the guest is off again already. It has run either way.
        CVM_RETURN_IF_ERROR(core.power.Refresh(core.hypervisor, instance->uuid()));
        return StepResult::Done();
      },
      .undo = [&core, instance_id](StepContext&) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(instance_id);
        return instance == nullptr ? absl::OkStatus() : EnsureOff(core, *instance);
      },
  };
}

Step PowerOffForChangeStep(const Core& core, const std::string& instance_id, uint32_t percent) {
  return {
      .name = "cutting the power",
      .percent = percent,
      .should_run = [](StepContext& context) { return !context.Note(kWasOnNote).empty(); },
      .run = [&core, instance_id](StepContext&) { return CutPower(core, instance_id); },
      .undo = [&core, instance_id](StepContext& context) -> absl::Status {
        const InstancePtr instance = core.ledger.instances().Find(instance_id);
        if (instance == nullptr || context.Note(kWasOnNote).empty()) return absl::OkStatus();
        const absl::Status started = core.hypervisor.StartDomain(instance->uuid());
        // Only what another attempt would get as well is given up on.
        const ErrorReason reason = ReasonOf(started);
        if (started.ok() || (reason != ErrorReason::ERROR_REASON_HYPERVISOR_ERROR &&
                             reason != ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE &&
                             reason != ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND)) {
          return started;
        }
        CVM_LOG_ERROR("{} was on and does not start again: {}", instance_id,
                      std::string(started.message()));
        return absl::OkStatus();
      },
  };
}

Step PowerOnAgainStep(const Core& core, const std::string& instance_id, uint32_t percent) {
  Step step = StartDomainStep(core, instance_id, percent);
  step.should_run = [](StepContext& context) { return !context.Note(kWasOnNote).empty(); };
  step.undo = [undo = step.undo](StepContext& context) {
    return context.Note(kWasOnNote).empty() ? absl::OkStatus() : undo(context);
  };
  return step;
}

absl::StatusOr<StepResult> CutPower(const Core& core, const std::string& instance_id) {
  CVM_ASSIGN_OR_RETURN(const InstancePtr instance, RequireInstance(core, instance_id));
  if (IsOff(instance->observed_power().state())) return StepResult::Done();
  CVM_RETURN_IF_ERROR(core.hypervisor.DestroyDomain(instance->uuid()));
  return WaitForPower(core, instance_id, IsOff);
}

absl::Status EnsureOff(const Core& core, const v1::Instance& instance) {
  const absl::Status off = core.hypervisor.DestroyDomain(instance.uuid());
  if (!off.ok() && ReasonOf(off) != ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND) return off;
  for (int i = 0; i < instance.spec().nics_size(); ++i) {
    CVM_RETURN_IF_ERROR(core.bridges.RemoveTap(TapName(instance.id(), i)));
  }
  return absl::OkStatus();
}

absl::Status WriteMetadata(const Core& core, const v1::Instance& instance,
                           const std::function<void(v1::Instance&)>& change) {
  v1::Instance changed = instance;
  change(changed);
  const absl::Status written =
      core.hypervisor.SetDomainMetadata(instance.uuid(), MetadataOf(changed));
  if (ReasonOf(written) == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND) return absl::OkStatus();
  return written;
}

std::optional<absl::Time> TimeNote(const StepContext& context, const std::string& key) {
  const std::string note = context.Note(key);
  int64_t nanos = 0;
  if (std::from_chars(note.data(), note.data() + note.size(), nanos).ec != std::errc()) {
    return std::nullopt;
  }
  return absl::FromUnixNanos(nanos);
}

void SetTimeNote(StepContext& context, const std::string& key, absl::Time time) {
  context.SetNote(key, std::to_string(absl::ToUnixNanos(time)));
}

}  // namespace cvm::agent::core
