// SPDX-License-Identifier: Apache-2.0
//
// A workflow is a list of steps. The engine writes down that a step starts before it runs, and that
// it is done together with the rows that the step changed. After a crash the step that was under
// way is run again, so running a step twice must do no harm; when a step fails, it and the ones
// before it are undone, last first, and an undo too must bear being run twice, or for a step that
// never began.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/core/ledger.h"
#include "agent/store/record.pb.h"
#include "cvm/agent/v1/operation.pb.h"

namespace cvm::agent::core {

// What a step sees of its operation. Lives for one run of the step; not thread-safe.
class StepContext {
 public:
  virtual ~StepContext() = default;

  virtual const v1::Operation& operation() const = 0;

  // Small texts that outlive a crash, for this step and the later ones. Empty when absent.
  virtual std::string Note(const std::string& key) const = 0;
  // Written down with the step's end, or by SaveNotes().
  virtual void SetNote(const std::string& key, std::string value) = 0;
  // Writes the notes down now. On an error the step returns it: it will be run again.
  virtual absl::Status SaveNotes() = 0;

  // Rows that are written together with the step's end.
  virtual LedgerChange& change() = 0;

  // True once a cancel was asked for; long steps look from time to time and return
  // OPERATION_CANCELLED.
  virtual bool Cancelled() const = 0;
  // How far this step is, 0 to 1.
  virtual void Progress(double fraction) = 0;
};

// A step is done, or is to be run again when its target changes or, at the latest, after a while.
// A waiting step holds no thread.
struct StepResult {
  static StepResult Done() { return {}; }
  static StepResult WaitAtMost(absl::Duration duration) { return {.wait = duration}; }

  absl::Duration wait = absl::ZeroDuration();
  bool done() const { return wait == absl::ZeroDuration(); }
};

struct Step {
  // What people read as Operation.stage: "making the disks".
  std::string name;
  // Operation.percent when the step is done.
  uint32_t percent = 0;
  // Absent: the step is always run.
  std::function<bool(StepContext&)> should_run = nullptr;
  std::function<absl::StatusOr<StepResult>(StepContext&)> run;
  // Absent: there is nothing to undo.
  std::function<absl::Status(StepContext&)> undo = nullptr;
  // From this step on there is no way back: no cancel, and an error is tried again until it works.
  bool forward_only = false;
};

struct Workflow {
  std::vector<Step> steps;
  // Rows that are written together with the failure, after the undo.
  std::function<void(LedgerChange&)> on_failed = nullptr;
};

// Where a workflow's operations run. Each lane has threads of its own, so that what is slow does
// not hold up what is urgent.
enum class Lane {
  kNormal,
  // Bringing guests down.
  kUrgent,
  // Copying images.
  kBulk,
};

}  // namespace cvm::agent::core
