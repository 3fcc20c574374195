// SPDX-License-Identifier: Apache-2.0
//
// Takes work, writes it down before its first side effect, runs its steps, undoes them on failure,
// and after a crash finishes or undoes what was under way. It also keeps request ids.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/core/crash_points.h"
#include "agent/core/ledger.h"
#include "agent/core/plan.h"
#include "agent/core/worker_pool.h"
#include "agent/core/workflow.h"
#include "common/clock.h"
#include "common/ids.h"
#include "common/mutex.h"
#include "google/protobuf/message.h"

namespace cvm::agent::core {

// Who calls. The scope is the identity that request ids belong to.
struct Caller {
  std::string scope;
};

// Makes the workflow of a record, at submission and after a restart: a pure function of the record,
// so that both have the same steps.
using WorkflowFactory =
    std::function<absl::StatusOr<Workflow>(const store::OperationRecord& record)>;
using LaneChooser = std::function<Lane(const store::OperationRecord& record)>;

// What is taken and finished also while the disk of the store is full: what brings guests down, and
// what makes room.
bool MayUseReserve(v1::Operation::Action action);

struct EngineOptions {
  size_t normal_workers = 8;
  size_t urgent_workers = 4;
  size_t bulk_workers = 2;
  // How long a step that gets HYPERVISOR_UNAVAILABLE is tried again before the operation is undone.
  absl::Duration hypervisor_grace = absl::Minutes(2);
  // The key of the request digests.
  std::string request_key;
  // For tests; see crash_points.h.
  CrashHook crash_hook;
};

// Thread-safe.
class OperationEngine {
 public:
  // Everything passed in outlives the engine.
  OperationEngine(Ledger& ledger, const Clock& clock, Random& random, WorkflowFactory factory,
                  LaneChooser lane, EngineOptions options);
  // Stop().
  ~OperationEngine();
  OperationEngine(const OperationEngine&) = delete;
  OperationEngine& operator=(const OperationEngine&) = delete;

  // Takes up every operation that had not ended. Called once, before the first Submit.
  absl::Status Resume();
  // Begins no further step. A step under way that fails from now on is left as it is.
  void BeginStop();
  // BeginStop(), and waits for the steps under way; what has not ended is taken up at the next
  // start. Submit fails with AGENT_STOPPING afterwards.
  void Stop();

  // The way in for every mutating call. In this order: the form of the request id, a replay of it
  // (REQUEST_ID_REUSED, REQUEST_ID_EXPIRED, or the operation it stands for), `plan` (which
  // validates and may look at the ledger: no other submission runs meanwhile), one operation per
  // target (OPERATION_IN_PROGRESS), room in the store (STORE_UNAVAILABLE; see MayUseReserve), and
  // the writing down. `request` is what the client sent; its fields request_id and validate_only
  // are not part of its digest.
  absl::StatusOr<v1::Operation> Submit(const Caller& caller,
                                       const google::protobuf::Message& request,
                                       const std::string& request_id, bool validate_only,
                                       const std::function<absl::StatusOr<Plan>()>& plan);

  // OPERATION_NOT_FOUND.
  absl::StatusOr<v1::Operation> Get(const std::string& id) const;
  absl::StatusOr<std::vector<v1::Operation>> List(const OperationFilter& filter) const;
  // OPERATION_NOT_FOUND, OPERATION_NOT_CANCELLABLE.
  absl::StatusOr<v1::Operation> Cancel(const std::string& id, bool validate_only);

  // Calls `observer` with the operation now and at each change, the last one ended, on any thread
  // and never two at a time. It must be quick and must not call the engine. No call begins once the
  // returned handle is dropped, but one may be under way: Cancel() waits for it, dropping (also
  // from within the call) does not. OPERATION_NOT_FOUND.
  class Observation;
  absl::StatusOr<std::shared_ptr<Observation>> Observe(
      const std::string& id, std::function<void(const v1::Operation&)> observer);

  // Something happened to the target: operations that wait on it look again at once.
  void Wake(const std::string& target_id);
  // The same for every operation: the hypervisor is back.
  void WakeAll();
  // Looks at once at what waits for a time; for tests with a clock that they advance.
  void CheckTimers();

  // Operations that have not ended.
  size_t ActiveCount() const;

 private:
  struct Active;
  class Context;
  using ActivePtr = std::shared_ptr<Active>;

  absl::StatusOr<std::optional<v1::Operation>> FindReplay(const Caller& caller,
                                                          const std::string& request_id,
                                                          const std::string& digest);
  absl::Status CheckTargetFree(const Plan& plan) const;
  ActivePtr FindActive(const std::string& id) const;
  void EnqueueLocked(const ActivePtr& active) CVM_REQUIRES(mutex_);
  void Enqueue(const ActivePtr& active);
  void TimerLoop();

  // operation_runner.cc: the execution of one operation until it ends or has to wait.
  enum class Next { kGoOn, kLeave };
  void Execute(const ActivePtr& active);
  Next Advance(Active& active);
  Next RunStep(Active& active);
  Next StepDone(Active& active, Context& context);
  Next StepFailed(Active& active, Context& context, const absl::Status& status);
  Next UndoStep(Active& active);
  Next BeginUndo(Active& active, store::OperationRecord next, const absl::Status& status);
  Next Retry(Active& active, const absl::Status& why);
  void Park(Active& active, absl::Duration duration);
  // Writes the record and the rows down, then shows them.
  absl::Status Write(Active& active, store::OperationRecord next, LedgerChange change);
  void End(store::OperationRecord& record, v1::Operation::State state) const;
  bool CrashesAt(Active& active, const std::string& step, const char* point) const;
  void Publish(Active& active);
  bool Stopping() const;

  Ledger& ledger_;
  const Clock& clock_;
  Random& random_;
  const WorkflowFactory factory_;
  const LaneChooser lane_;
  const EngineOptions options_;

  // Held over the validation of a submission and its writing down.
  Mutex submit_mutex_;

  mutable Mutex mutex_;
  std::map<std::string, ActivePtr> active_ CVM_GUARDED_BY(mutex_);
  bool stopping_ CVM_GUARDED_BY(mutex_) = false;
  CondVar timer_changed_;
  bool timer_check_ CVM_GUARDED_BY(mutex_) = false;

  WorkerPool normal_;
  WorkerPool urgent_;
  WorkerPool bulk_;
  std::jthread timer_;
};

class OperationEngine::Observation {
 public:
  explicit Observation(std::function<void(const v1::Operation&)> observer)
      : observer_(std::move(observer)) {}
  ~Observation() = default;

  // Waits for a call under way; nothing is called afterwards. Not from within a call.
  void Cancel();

 private:
  friend class OperationEngine;
  void Tell(const v1::Operation& operation);

  Mutex mutex_;
  std::function<void(const v1::Operation&)> observer_ CVM_GUARDED_BY(mutex_);
  uint64_t revision_ CVM_GUARDED_BY(mutex_) = 0;
};

}  // namespace cvm::agent::core
