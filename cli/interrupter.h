// SPDX-License-Identifier: Apache-2.0
//
// SIGINT, SIGTERM and SIGHUP as events, so that what cvmctl holds (a terminal in raw mode, a file
// in the import folder, a call under way) is put right before it ends.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <thread>

#include "absl/time/time.h"
#include "common/file.h"
#include "common/mutex.h"

namespace cvm::cli {

// Thread-safe. One at a time in a process, made before any other thread: it blocks the signals for
// the calling thread and all that come from it. A signal that the caller of the program had set to
// be ignored (nohup) stays ignored. The third signal ends the process on the spot, with the
// terminal restored.
class Interrupter {
 public:
  Interrupter();
  ~Interrupter();
  Interrupter(const Interrupter&) = delete;
  Interrupter& operator=(const Interrupter&) = delete;

  // The first signal since the start or Reset(), or 0.
  int signal() const CVM_EXCLUDES(mutex_);
  // Readable while signal() is not 0, for poll().
  int fd() const { return event_.get(); }
  // For cleaning up after a signal: only another one interrupts again.
  void Reset() CVM_EXCLUDES(mutex_);
  // Returns early, with false, when interrupted.
  bool Sleep(absl::Duration duration) const;

  // Unregisters when destroyed; a callback under way is waited for.
  class Registration {
   public:
    Registration(Interrupter* owner, std::list<std::function<void()>>::iterator position)
        : owner_(owner), position_(position) {}
    ~Registration();
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

   private:
    Interrupter* const owner_;
    const std::list<std::function<void()>>::iterator position_;
  };
  // Calls `callback` at each signal, from another thread; at once when one has come already. It
  // must not call this class.
  std::unique_ptr<Registration> OnSignal(std::function<void()> callback) CVM_EXCLUDES(mutex_);

 private:
  void Loop();

  UniqueFd signals_;
  UniqueFd event_;
  UniqueFd stop_;
  mutable Mutex mutex_;
  int first_ CVM_GUARDED_BY(mutex_) = 0;
  int count_ CVM_GUARDED_BY(mutex_) = 0;
  std::list<std::function<void()>> callbacks_ CVM_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace cvm::cli
