// SPDX-License-Identifier: Apache-2.0
//
// StopGuests: batch after batch, asks the guests to shut down and cuts the power of those that are
// still on when the batch's share of the budget is over. What each guest is meant to be stays as it
// is. Which guests are on is looked up each time, so those that come up meanwhile go down too.
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <thread>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/core/host_manager.h"
#include "agent/core/planning.h"
#include "agent/core/power_monitor.h"
#include "agent/core/power_steps.h"
#include "agent/core/stop_order.h"
#include "agent/core/validation.h"
#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

constexpr char kDeadline[] = "deadline";
constexpr char kBatch[] = "batch";
constexpr char kBatchDeadline[] = "batch-deadline";
constexpr char kAsked[] = "asked";
constexpr char kGuests[] = "guests";

constexpr absl::Duration kAskAgainAfter = absl::Seconds(10);
constexpr absl::Duration kLookAgainAfter = absl::Seconds(2);
// How long cutting the power is tried beyond the budget.
constexpr absl::Duration kCutFor = absl::Seconds(30);

using Guests = std::vector<InstancePtr>;

std::string IdsOf(const Guests& guests) {
  return absl::StrJoin(
      guests, ",", [](std::string* out, const InstancePtr& guest) { out->append(guest->id()); });
}

Guests GuestsThatAreOn(const Core& core) {
  Guests on;
  for (const InstancePtr& instance : core.ledger.instances().All()) {
    if (IsOn(instance->observed_power().state())) on.push_back(instance);
  }
  SortForStop(on);
  return on;
}

// Those of `on` that are in the batch under way.
Guests PresentBatch(const Guests& on, StepContext& context) {
  Guests batch;
  const std::vector<std::string> ids = absl::StrSplit(context.Note(kBatch), ',');
  for (const InstancePtr& guest : on) {
    if (std::find(ids.begin(), ids.end(), guest->id()) != ids.end()) batch.push_back(guest);
  }
  return batch;
}

// The next ones: of one number, and not too many.
Guests NextBatch(const Core& core, const Guests& on) {
  Guests batch;
  for (const InstancePtr& guest : on) {
    if (batch.size() >= static_cast<size_t>(core.config.operations.stop_parallel) ||
        StopOrder(*guest) != StopOrder(*on.front())) {
      break;
    }
    batch.push_back(guest);
  }
  return batch;
}

// All at once: asking one can take as long as its guest agent does, and cutting the power seconds.
void ForAll(const Guests& guests, std::string_view what,
            const std::function<absl::Status(const v1::Instance&)>& call) {
  std::vector<std::jthread> threads;
  for (const InstancePtr& guest : guests) {
    threads.emplace_back([&call, what, guest] {
      if (const absl::Status status = call(*guest); !status.ok()) {
        CVM_LOG_WARNING("cannot {} {}: {}", what, guest->id(), std::string(status.message()));
      }
    });
  }
}

absl::StatusOr<StepResult> StopGuests(const Core& core, const v1::StopGuestsRequest& request,
                                      StepContext& context) {
  // What is not known is no guest that is off.
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  const absl::Time now = core.clock.Now();
  const Guests on = GuestsThatAreOn(core);
  std::optional<absl::Time> deadline = TimeNote(context, kDeadline);
  if (!deadline) {
    deadline = now + FromProtoDuration(request.budget());
    SetTimeNote(context, kDeadline, *deadline);
    context.SetNote(kGuests, std::to_string(on.size()));
  }
  if (on.empty()) return StepResult::Done();
  const double guests = std::max(1.0, std::atof(context.Note(kGuests).c_str()));
  context.Progress(1 - static_cast<double>(on.size()) / guests);

  Guests batch = PresentBatch(on, context);
  if (batch.empty()) {
    batch = NextBatch(core, on);
    const absl::Duration left = std::max(*deadline - now, absl::ZeroDuration());
    const double share = static_cast<double>(batch.size()) / static_cast<double>(on.size());
    context.SetNote(kBatch, IdsOf(batch));
    SetTimeNote(context, kBatchDeadline, now + left * share);
    context.SetNote(kAsked, "");
    CVM_LOG_INFO("stopping {}, within {}", IdsOf(batch), absl::FormatDuration(left * share));
  }
  const absl::Time batch_deadline = TimeNote(context, kBatchDeadline).value_or(now);
  const std::optional<absl::Time> asked = TimeNote(context, kAsked);
  if (now < batch_deadline) {
    if (!asked || now - *asked >= kAskAgainAfter) {
      SetTimeNote(context, kAsked, now);
      CVM_RETURN_IF_ERROR(context.SaveNotes());
      ForAll(batch, "ask for its shutdown", [&core](const v1::Instance& guest) {
        return core.hypervisor.ShutdownDomain(guest.uuid());
      });
    }
    return StepResult::WaitAtMost(std::min(batch_deadline - now, kLookAgainAfter));
  }
  if (now >= *deadline + kCutFor) {
    return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
                 fmt::format("these could not be turned off: {}", IdsOf(on)),
                 {{"instance_ids", IdsOf(on)}});
  }
  CVM_LOG_WARNING("cutting the power of {}", IdsOf(batch));
  ForAll(batch, "cut the power of", [&core](const v1::Instance& guest) -> absl::Status {
    CVM_RETURN_IF_ERROR(EnsureOff(core, guest));
    // In case the event is missed.
    return core.power.Refresh(core.hypervisor, guest.uuid());
  });
  return StepResult::WaitAtMost(kLookAgainAfter);
}

}  // namespace

absl::StatusOr<Plan> PlanStopGuests(const Core& core, const v1::StopGuestsRequest& request) {
  if (!CheckTimeout(request.has_budget(), request.budget()).ok()) {
    return InvalidField("budget", "must be 1 s to 1 h");
  }
  CVM_RETURN_IF_ERROR(RequireConnected(core));
  auto filled = std::make_unique<v1::StopGuestsRequest>(request);
  if (!request.has_budget()) {
    *filled->mutable_budget() = ToProtoDuration(core.config.operations.stop_guests_budget);
  }
  Plan plan;
  plan.action = v1::Operation::STOP_GUESTS;
  plan.target_id = kHostTarget;
  plan.request = std::move(filled);
  return plan;
}

Workflow StopGuestsWorkflow(const Core& core, const v1::StopGuestsRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = "waiting for the guests",
      .percent = 100,
      .run = [&core, request](StepContext& context) { return StopGuests(core, request, context); },
  });
  return workflow;
}

}  // namespace cvm::agent::core
