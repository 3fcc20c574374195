// SPDX-License-Identifier: Apache-2.0
#include "agent/core/operation_engine.h"

#include <algorithm>

#include "agent/core/operation_active.h"
#include "common/errors.h"
#include "common/hmac.h"
#include "common/log.h"
#include "common/proto_bytes.h"
#include "common/redact.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using google::protobuf::Message;
using store::OperationRecord;
using v1::Operation;

// The digest of what the client asked for: type and content, without the two fields that say how.
std::string RequestDigest(const std::string& key, const Message& request) {
  std::unique_ptr<Message> canonical(request.New());
  canonical->CopyFrom(request);
  for (const char* name : {"request_id", "validate_only"}) {
    if (const auto* field = canonical->GetDescriptor()->FindFieldByName(name)) {
      canonical->GetReflection()->ClearField(canonical.get(), field);
    }
  }
  return HmacSha256(key, canonical->GetTypeName() + '\0' + DeterministicBytes(*canonical));
}

}  // namespace

bool MayUseReserve(v1::Operation::Action action) {
  return action == Operation::STOP_INSTANCE || action == Operation::DELETE_INSTANCE ||
         action == Operation::DELETE_IMAGE || action == Operation::REPAIR_HOST;
}

OperationEngine::OperationEngine(Ledger& ledger, const Clock& clock, Random& random,
                                 WorkflowFactory factory, LaneChooser lane, EngineOptions options)
    : ledger_(ledger),
      clock_(clock),
      random_(random),
      factory_(std::move(factory)),
      lane_(std::move(lane)),
      options_(std::move(options)),
      normal_(options_.normal_workers),
      urgent_(options_.urgent_workers),
      bulk_(options_.bulk_workers),
      timer_([this] { TimerLoop(); }) {}

OperationEngine::~OperationEngine() { Stop(); }

void OperationEngine::BeginStop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  timer_changed_.NotifyAll();
}

void OperationEngine::Stop() {
  BeginStop();
  if (timer_.joinable()) timer_.join();
  normal_.Stop();
  urgent_.Stop();
  bulk_.Stop();
}

bool OperationEngine::Stopping() const {
  MutexLock lock(mutex_);
  return stopping_;
}

absl::Status OperationEngine::Resume() {
  CVM_ASSIGN_OR_RETURN(std::vector<OperationRecord> records,
                       ledger_.store().LoadUnfinishedOperations());
  for (OperationRecord& record : records) {
    CVM_ASSIGN_OR_RETURN(Workflow workflow, factory_(record));
    const Lane lane = lane_(record);
    auto active = std::make_shared<Active>(std::move(record), std::move(workflow), lane);
    active->cancelled = active->Record().operation().cancel_requested();
    CVM_LOG_INFO("taking up operation {} ({} of {})", active->id,
                 Operation::Action_Name(active->action), active->target_id);
    MutexLock lock(mutex_);
    active_[active->id] = active;
    EnqueueLocked(active);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Operation>> OperationEngine::FindReplay(const Caller& caller,
                                                                     const std::string& request_id,
                                                                     const std::string& digest) {
  CVM_ASSIGN_OR_RETURN(const std::optional<RequestRow> row,
                       ledger_.store().FindRequest(caller.scope, request_id));
  if (!row) return std::nullopt;
  if (!ConstantTimeEquals(row->digest, digest)) {
    return Error(ErrorReason::ERROR_REASON_REQUEST_ID_REUSED,
                 "this request_id was used for another request: choose a new one",
                 {{"request_id", request_id}});
  }
  absl::StatusOr<Operation> operation = Get(row->operation_id);
  if (!operation.ok() &&
      ReasonOf(operation.status()) == ErrorReason::ERROR_REASON_OPERATION_NOT_FOUND) {
    return Error(ErrorReason::ERROR_REASON_REQUEST_ID_EXPIRED,
                 "the operation of this request_id ended long ago and is no longer kept; it is not "
                 "run again",
                 {{"request_id", request_id}});
  }
  CVM_RETURN_IF_ERROR(operation.status());
  return *std::move(operation);
}

absl::Status OperationEngine::CheckTargetFree(const Plan& plan) const {
  std::vector<ActivePtr> present;
  {
    MutexLock lock(mutex_);
    for (const auto& [id, active] : active_) {
      if (active->target_id == plan.target_id) present.push_back(active);
    }
  }
  for (const ActivePtr& active : present) {
    // An end that is being written down is waited for: the ledger may show it already.
    const OperationRecord record = active->Record();
    if (record.operation().state() != Operation::OPERATING) continue;
    if (plan.overrides_soft_stop && record.notes().contains(kSoftStopNote)) continue;
    return Error(ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS,
                 fmt::format("{} is busy with operation {} ({}): wait for it, or cancel it",
                             plan.target_id, active->id, Operation::Action_Name(active->action)),
                 {{"operation_id", active->id}, {"target_id", plan.target_id}});
  }
  return absl::OkStatus();
}

absl::StatusOr<Operation> OperationEngine::Submit(
    const Caller& caller, const Message& request, const std::string& request_id, bool validate_only,
    const std::function<absl::StatusOr<Plan>()>& make_plan) {
  if (!request_id.empty()) CVM_RETURN_IF_ERROR(CheckRequestId(request_id));
  const std::string digest = RequestDigest(options_.request_key, request);

  MutexLock submit_lock(submit_mutex_);
  if (Stopping()) {
    return Error(ErrorReason::ERROR_REASON_AGENT_STOPPING, "the agent is stopping: try again");
  }
  if (!request_id.empty() && !validate_only) {
    CVM_ASSIGN_OR_RETURN(std::optional<Operation> replay, FindReplay(caller, request_id, digest));
    if (replay) return *std::move(replay);
  }
  CVM_ASSIGN_OR_RETURN(Plan plan, make_plan());
  CVM_RETURN_IF_ERROR(CheckTargetFree(plan));
  if (plan.target_was_busy) {
    // No other submission runs meanwhile, so the target is as free now as it was just found.
    CVM_ASSIGN_OR_RETURN(plan, make_plan());
    CVM_RETURN_IF_ERROR(CheckTargetFree(plan));
  }

  if (!MayUseReserve(plan.action)) CVM_RETURN_IF_ERROR(ledger_.store().RequireReserve());
  plan.change.may_use_reserve = MayUseReserve(plan.action);

  OperationRecord record;
  Operation& operation = *record.mutable_operation();
  operation.set_action(plan.action);
  operation.set_target_id(plan.target_id);
  operation.set_request_id(request_id.empty() ? MakeUuid(random_) : request_id);
  *operation.mutable_create_time() = ToTimestamp(clock_.Now());
  if (validate_only) {
    operation.set_state(Operation::SUCCESS);
    operation.set_validate_only(true);
    operation.set_percent(100);
    *operation.mutable_end_time() = operation.create_time();
    return operation;
  }
  operation.set_id(MakeId(kOperationPrefix, random_));
  operation.set_state(Operation::OPERATING);
  operation.set_revision(1);
  Redact(*plan.request);
  record.mutable_request()->PackFrom(*plan.request);
  record.set_steps_started(1);
  for (const auto& [key, value] : plan.notes) (*record.mutable_notes())[key] = value;
  CVM_ASSIGN_OR_RETURN(Workflow workflow, factory_(record));
  operation.set_stage(workflow.steps.front().name);

  if (!plan.secrets.empty()) {
    record.set_had_secrets(true);
    plan.change.put_operation_secrets.emplace(operation.id(), std::move(plan.secrets));
  }
  plan.change.put_operations.push_back(record);
  plan.change.put_request = RequestRow{.scope = caller.scope,
                                       .request_id = operation.request_id(),
                                       .digest = digest,
                                       .operation_id = operation.id()};
  CVM_RETURN_IF_ERROR(ledger_.Commit(plan.change));

  Operation answer = operation;
  const Lane lane = lane_(record);
  auto active = std::make_shared<Active>(std::move(record), std::move(workflow), lane);
  MutexLock lock(mutex_);
  active_[active->id] = active;
  EnqueueLocked(active);
  return answer;
}

OperationEngine::ActivePtr OperationEngine::FindActive(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto it = active_.find(id);
  return it == active_.end() ? nullptr : it->second;
}

absl::StatusOr<Operation> OperationEngine::Get(const std::string& id) const {
  CVM_RETURN_IF_ERROR(CheckId("operation_id", kOperationPrefix, id));
  if (const ActivePtr active = FindActive(id)) return active->Record().operation();
  absl::StatusOr<OperationRecord> record = ledger_.store().LoadOperation(id);
  if (absl::IsNotFound(record.status())) {
    return Error(ErrorReason::ERROR_REASON_OPERATION_NOT_FOUND,
                 fmt::format("there is no operation {}, or it ended long ago", id),
                 {{"operation_id", id}});
  }
  CVM_RETURN_IF_ERROR(record.status());
  return record->operation();
}

absl::StatusOr<std::vector<Operation>> OperationEngine::List(const OperationFilter& filter) const {
  CVM_ASSIGN_OR_RETURN(std::vector<Operation> list, ledger_.store().ListOperations(filter));
  for (Operation& operation : list) {
    // The store does not know the progress within a step.
    if (const ActivePtr active = FindActive(operation.id())) {
      operation = active->Record().operation();
    }
  }
  return list;
}

absl::StatusOr<Operation> OperationEngine::Cancel(const std::string& id, bool validate_only) {
  CVM_ASSIGN_OR_RETURN(const Operation present, Get(id));
  const auto refuse = [&](std::string_view why) {
    return Error(ErrorReason::ERROR_REASON_OPERATION_NOT_CANCELLABLE,
                 fmt::format("operation {} cannot be cancelled: {}", id, why),
                 {{"operation_id", id}});
  };
  const ActivePtr active = FindActive(id);
  if (active == nullptr || active->ended) return refuse("it has ended");
  {
    MutexLock lock(active->mutex);
    OperationRecord next = active->record;
    Operation& operation = *next.mutable_operation();
    if (operation.state() != Operation::OPERATING) return refuse("it has ended");
    if (operation.undoing()) return refuse("it is being undone already");
    const size_t step = next.steps_started() - 1;
    if (active->workflow.steps[step].forward_only) {
      return refuse("it can only go forward from here");
    }
    if (validate_only || operation.cancel_requested()) return operation;
    operation.set_cancel_requested(true);
    operation.set_revision(operation.revision() + 1);
    LedgerChange change;
    change.put_operations.push_back(next);
    CVM_RETURN_IF_ERROR(ledger_.Commit(change));
    active->record = std::move(next);
    active->cancelled = true;
  }
  Publish(*active);
  Enqueue(active);
  return active->Record().operation();
}

absl::StatusOr<std::shared_ptr<OperationEngine::Observation>> OperationEngine::Observe(
    const std::string& id, std::function<void(const Operation&)> observer) {
  auto observation = std::make_shared<Observation>(std::move(observer));
  if (const ActivePtr active = FindActive(id)) {
    MutexLock lock(active->mutex);
    std::erase_if(active->observers, [](const auto& weak) { return weak.expired(); });
    active->observers.push_back(observation);
  }
  // After the registration, so that nothing falls between.
  CVM_ASSIGN_OR_RETURN(const Operation operation, Get(id));
  observation->Tell(operation);
  return observation;
}

void OperationEngine::Publish(Active& active) {
  Operation operation;
  std::vector<std::shared_ptr<Observation>> observers;
  {
    MutexLock lock(active.mutex);
    operation = active.record.operation();
    for (const auto& weak : active.observers) {
      if (auto observer = weak.lock()) observers.push_back(std::move(observer));
    }
  }
  for (const auto& observer : observers) observer->Tell(operation);
}

void OperationEngine::Enqueue(const ActivePtr& active) {
  MutexLock lock(mutex_);
  EnqueueLocked(active);
}

void OperationEngine::EnqueueLocked(const ActivePtr& active) {
  if (active->dead || active->ended || stopping_) return;
  active->wake_at.reset();
  if (active->executing) {
    active->again = true;
    return;
  }
  if (active->queued) return;
  active->queued = true;
  WorkerPool& pool = active->lane == Lane::kUrgent ? urgent_
                     : active->lane == Lane::kBulk ? bulk_
                                                   : normal_;
  pool.Submit([this, active] { Execute(active); });
}

void OperationEngine::Wake(const std::string& target_id) {
  MutexLock lock(mutex_);
  for (const auto& [id, active] : active_) {
    if (active->target_id == target_id) EnqueueLocked(active);
  }
}

void OperationEngine::WakeAll() {
  MutexLock lock(mutex_);
  for (const auto& [id, active] : active_) EnqueueLocked(active);
}

void OperationEngine::CheckTimers() {
  MutexLock lock(mutex_);
  timer_check_ = true;
  timer_changed_.NotifyAll();
}

void OperationEngine::TimerLoop() {
  MutexLock lock(mutex_);
  while (!stopping_) {
    timer_check_ = false;
    const absl::Duration now = clock_.Monotonic();
    absl::Duration nearest = absl::Minutes(1);
    for (const auto& [id, active] : active_) {
      if (!active->wake_at) continue;
      if (*active->wake_at <= now) {
        EnqueueLocked(active);
      } else {
        nearest = std::min(nearest, *active->wake_at - now);
      }
    }
    if (!timer_check_) timer_changed_.WaitFor(mutex_, absl::ToChronoMilliseconds(nearest));
  }
}

size_t OperationEngine::ActiveCount() const {
  MutexLock lock(mutex_);
  return active_.size();
}

void OperationEngine::Observation::Cancel() {
  MutexLock lock(mutex_);
  observer_ = nullptr;
}

void OperationEngine::Observation::Tell(const Operation& operation) {
  MutexLock lock(mutex_);
  // Two changes may be told in the wrong order by two threads: the newer one wins.
  if (!observer_ || operation.revision() <= revision_) return;
  revision_ = operation.revision();
  observer_(operation);
}

}  // namespace cvm::agent::core
