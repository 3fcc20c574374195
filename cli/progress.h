// SPDX-License-Identifier: Apache-2.0
//
// The line that says how far the work is.
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <thread>

#include "absl/time/time.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "cvm/agent/v1/operation.pb.h"

namespace cvm::cli {

struct ProgressState {
  // "CREATE_INSTANCE ins-1a2b3c4d".
  std::string title;
  std::string stage;
  unsigned percent = 0;
};

// "CREATE_INSTANCE ins-1a2b3c4d: creating the disks  40%  0:07", cut to `width` columns.
std::string FormatProgress(const ProgressState& state, absl::Duration elapsed, int width);

// Thread-safe.
class Progress {
 public:
  enum class Mode {
    kOff,
    // A line for each new stage and each ten per cent.
    kPlain,
    // One line that is written over, once a second at least.
    kLive,
  };
  // `err` and `clock` outlive it. `width` is that of the terminal in live mode.
  Progress(std::ostream& err, Mode mode, int width, const Clock& clock);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `elapsed`: since the work began.
  void Update(const ProgressState& state, absl::Duration elapsed) CVM_EXCLUDES(mutex_);
  void Update(const agent::v1::Operation& operation);
  // A line of its own, also when off: something that the user should know.
  void Note(std::string_view text) CVM_EXCLUDES(mutex_);
  // Takes the live line away; the next Update starts anew.
  void Clear() CVM_EXCLUDES(mutex_);

 private:
  void Tick() CVM_EXCLUDES(mutex_);
  void Draw() CVM_REQUIRES(mutex_);
  void Erase() CVM_REQUIRES(mutex_);

  std::ostream& err_;
  const Mode mode_;
  const int width_;
  const Clock& clock_;
  Mutex mutex_;
  CondVar wake_;
  bool stop_ CVM_GUARDED_BY(mutex_) = false;
  // There is a state to show, and it is on the screen.
  bool active_ CVM_GUARDED_BY(mutex_) = false;
  bool drawn_ CVM_GUARDED_BY(mutex_) = false;
  ProgressState state_ CVM_GUARDED_BY(mutex_);
  // clock_.Monotonic() when the work began.
  absl::Duration began_ CVM_GUARDED_BY(mutex_);
  std::thread ticker_;
};

}  // namespace cvm::cli
