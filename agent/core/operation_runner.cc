// SPDX-License-Identifier: Apache-2.0
//
// The part of OperationEngine that runs on its workers.
#include <algorithm>

#include "agent/core/operation_active.h"
#include "agent/core/operation_engine.h"
#include "common/errors.h"
#include "common/log.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using store::OperationRecord;
using v1::Operation;

constexpr absl::Duration kFirstRetry = absl::Seconds(1);
constexpr absl::Duration kLongestRetry = absl::Minutes(1);

// What callers see of an error. One without a reason is the agent's own affair and may name a path
// of the host: it is for the log.
absl::Status ForCallers(const absl::Status& status) {
  if (ReasonOf(status) != ErrorReason::ERROR_REASON_UNSPECIFIED) return status;
  if (absl::IsCancelled(status)) {
    return Error(ErrorReason::ERROR_REASON_OPERATION_CANCELLED, "cancelled on request");
  }
  return Error(ErrorReason::ERROR_REASON_INTERNAL,
               fmt::format("an error within the agent ({}): its log says more",
                           absl::StatusCodeToString(status.code())));
}

}  // namespace

// One run of one step.
class OperationEngine::Context final : public StepContext {
 public:
  Context(OperationEngine& engine, Active& active)
      : engine_(engine), active_(active), record_(active.Record()) {}

  const Operation& operation() const override { return record_.operation(); }

  std::string Note(const std::string& key) const override {
    const auto it = record_.notes().find(key);
    return it == record_.notes().end() ? "" : it->second;
  }

  void SetNote(const std::string& key, std::string value) override {
    (*record_.mutable_notes())[key] = std::move(value);
    notes_changed_ = true;
  }

  absl::Status SaveNotes() override {
    if (!notes_changed_) return absl::OkStatus();
    const absl::Status status = engine_.Write(active_, record_, {});
    if (status.ok()) notes_changed_ = false;
    return status;
  }

  LedgerChange& change() override { return change_; }

  bool Cancelled() const override { return active_.cancelled || engine_.Stopping(); }

  void Progress(double fraction) override {
    const auto& steps = active_.workflow.steps;
    const size_t index = record_.steps_started() - 1;
    const double from = index == 0 ? 0 : steps[index - 1].percent;
    const double share = std::clamp(fraction, 0.0, 1.0) * (steps[index].percent - from);
    const auto percent = static_cast<uint32_t>(from + share);
    Operation shown;
    {
      MutexLock lock(active_.mutex);
      Operation& operation = *active_.record.mutable_operation();
      if (percent <= operation.percent()) return;
      operation.set_percent(percent);
      operation.set_revision(operation.revision() + 1);
      shown = operation;
    }
    engine_.ledger_.ShowProgress(shown);
    engine_.Publish(active_);
  }

  bool notes_changed() const { return notes_changed_; }
  const OperationRecord& record() const { return record_; }

 private:
  OperationEngine& engine_;
  Active& active_;
  OperationRecord record_;
  LedgerChange change_;
  bool notes_changed_ = false;
};

void OperationEngine::Execute(const ActivePtr& active) {
  {
    MutexLock lock(mutex_);
    active->queued = false;
    if (stopping_ || active->ended || active->dead) return;
    active->executing = true;
  }
  while (Advance(*active) == Next::kGoOn) {
  }
  MutexLock lock(mutex_);
  active->executing = false;
  if (active->ended) {
    active_.erase(active->id);
  } else if (std::exchange(active->again, false)) {
    EnqueueLocked(active);
  } else if (active->wake_at) {
    timer_changed_.NotifyAll();
  }
}

OperationEngine::Next OperationEngine::Advance(Active& active) {
  if (Stopping() || active.ended) return Next::kLeave;
  return active.Record().operation().undoing() ? UndoStep(active) : RunStep(active);
}

OperationEngine::Next OperationEngine::RunStep(Active& active) {
  Context context(*this, active);
  const Step& step = active.workflow.steps[context.record().steps_started() - 1];
  if (active.cancelled && !step.forward_only) {
    return BeginUndo(active, context.record(),
                     Error(ErrorReason::ERROR_REASON_OPERATION_CANCELLED, "cancelled on request"));
  }
  if (CrashesAt(active, step.name, "before-run")) return Next::kLeave;
  if (step.should_run && !step.should_run(context)) return StepDone(active, context);

  const absl::StatusOr<StepResult> result = step.run(context);
  if (!result.ok()) return StepFailed(active, context, result.status());
  if (CrashesAt(active, step.name, "after-run")) return Next::kLeave;
  active.unavailable_since.reset();
  if (result->done()) return StepDone(active, context);
  if (const absl::Status saved = context.SaveNotes(); !saved.ok()) return Retry(active, saved);
  Park(active, result->wait);
  return Next::kLeave;
}

OperationEngine::Next OperationEngine::StepDone(Active& active, Context& context) {
  const auto& steps = active.workflow.steps;
  OperationRecord next = context.record();
  Operation& operation = *next.mutable_operation();
  operation.set_percent(std::max(operation.percent(), steps[next.steps_started() - 1].percent));
  if (next.steps_started() < steps.size()) {
    operation.set_stage(steps[next.steps_started()].name);
    next.set_steps_started(next.steps_started() + 1);
  } else {
    End(next, Operation::SUCCESS);
    if (CrashesAt(active, "end", "before-commit")) return Next::kLeave;
  }
  const absl::Status written = Write(active, std::move(next), std::move(context.change()));
  if (!written.ok()) return Retry(active, written);
  active.retries = 0;
  return Next::kGoOn;
}

OperationEngine::Next OperationEngine::StepFailed(Active& active, Context& context,
                                                  const absl::Status& status) {
  // The agent is stopping: the step gave up, and the next start takes it up again.
  if (Stopping()) return Next::kLeave;
  const ErrorReason reason = ReasonOf(status);
  const Step& step = active.workflow.steps[context.record().steps_started() - 1];
  if (step.forward_only || reason == ErrorReason::ERROR_REASON_STORE_UNAVAILABLE) {
    return Retry(active, status);
  }
  if (active.cancelled) {
    // Whatever the step gave up with.
    return BeginUndo(active, context.record(),
                     Error(ErrorReason::ERROR_REASON_OPERATION_CANCELLED, "cancelled on request"));
  }
  if (reason == ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE) {
    const absl::Duration now = clock_.Monotonic();
    if (!active.unavailable_since) active.unavailable_since = now;
    if (now - *active.unavailable_since < options_.hypervisor_grace) return Retry(active, status);
  }
  CVM_LOG_WARNING("operation {} ({} of {}) failed while {}: {}", active.id,
                  Operation::Action_Name(active.action), active.target_id, step.name,
                  std::string(status.message()));
  return BeginUndo(active, context.record(), status);
}

OperationEngine::Next OperationEngine::BeginUndo(Active& active, OperationRecord next,
                                                 const absl::Status& status) {
  Operation& operation = *next.mutable_operation();
  operation.set_undoing(true);
  *operation.mutable_error() = ToProto(ForCallers(status));
  const absl::Status written = Write(active, std::move(next), {});
  if (!written.ok()) return Retry(active, written);
  active.retries = 0;
  return Next::kGoOn;
}

OperationEngine::Next OperationEngine::UndoStep(Active& active) {
  Context context(*this, active);
  OperationRecord next = context.record();
  if (next.steps_started() == 0) {
    End(next, Operation::FAILED);
    LedgerChange change;
    if (active.workflow.on_failed) active.workflow.on_failed(change);
    if (CrashesAt(active, "end", "before-commit")) return Next::kLeave;
    const absl::Status written = Write(active, std::move(next), std::move(change));
    return written.ok() ? Next::kGoOn : Retry(active, written);
  }
  const Step& step = active.workflow.steps[next.steps_started() - 1];
  if (step.undo) {
    if (CrashesAt(active, step.name, "before-undo")) return Next::kLeave;
    const absl::Status undone = step.undo(context);
    if (CrashesAt(active, step.name, "after-undo")) return Next::kLeave;
    if (!undone.ok()) return Retry(active, undone);
  }
  next = context.record();
  next.set_steps_started(next.steps_started() - 1);
  next.mutable_operation()->set_stage("undoing: " + step.name);
  const absl::Status written = Write(active, std::move(next), std::move(context.change()));
  if (!written.ok()) return Retry(active, written);
  active.retries = 0;
  return Next::kGoOn;
}

OperationEngine::Next OperationEngine::Retry(Active& active, const absl::Status& why) {
  const absl::Duration delay =
      std::min(kLongestRetry, kFirstRetry * static_cast<double>(int64_t{1} << active.retries));
  active.retries = std::min(active.retries + 1, 6);
  CVM_LOG_WARNING("operation {} ({} of {}) tries again in {}: {}", active.id,
                  Operation::Action_Name(active.action), active.target_id,
                  absl::FormatDuration(delay), std::string(why.message()));
  {
    MutexLock lock(active.mutex);
    Operation& operation = *active.record.mutable_operation();
    const std::string stage = operation.stage().substr(0, operation.stage().find(" (trying again"));
    operation.set_stage(
        fmt::format("{} (trying again: {})", stage, std::string(ForCallers(why).message())));
    operation.set_revision(operation.revision() + 1);
  }
  Publish(active);
  Park(active, delay);
  return Next::kLeave;
}

void OperationEngine::Park(Active& active, absl::Duration duration) {
  MutexLock lock(mutex_);
  active.wake_at = clock_.Monotonic() + duration;
}

absl::Status OperationEngine::Write(Active& active, OperationRecord next, LedgerChange change) {
  {
    MutexLock lock(active.mutex);
    Operation& operation = *next.mutable_operation();
    const Operation& present = active.record.operation();
    operation.set_cancel_requested(present.cancel_requested());
    operation.set_percent(std::max(operation.percent(), present.percent()));
    operation.set_revision(present.revision() + 1);
    change.put_operations.push_back(next);
    change.may_use_reserve = MayUseReserve(active.action);
    const absl::Status status = ledger_.Commit(change);
    if (!status.ok()) return status;
    active.record = std::move(next);
    active.ended = active.record.operation().state() != Operation::OPERATING;
  }
  Publish(active);
  return absl::OkStatus();
}

void OperationEngine::End(OperationRecord& record, Operation::State state) const {
  Operation& operation = *record.mutable_operation();
  operation.set_state(state);
  operation.set_undoing(false);
  if (state == Operation::SUCCESS) operation.set_percent(100);
  operation.set_stage(state == Operation::SUCCESS ? "done" : "failed");
  *operation.mutable_end_time() = ToTimestamp(clock_.Now());
  record.clear_request();
  record.clear_notes();
  record.clear_steps_started();
}

bool OperationEngine::CrashesAt(Active& active, const std::string& step, const char* point) const {
  if (!options_.crash_hook) return false;
  if (!options_.crash_hook({active.action, step, point})) return false;
  active.dead = true;
  return true;
}

}  // namespace cvm::agent::core
