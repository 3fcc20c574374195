// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "common/mutex.h"

namespace cvm::hypervisor {

// Runs closures one after another, in the order in which they were posted, on a thread of its own.
// Thread-safe.
class SerialQueue {
 public:
  SerialQueue();
  // As Stop().
  ~SerialQueue();
  SerialQueue(const SerialQueue&) = delete;
  SerialQueue& operator=(const SerialQueue&) = delete;

  // Never blocks. After Stop() the task is dropped.
  void Post(std::function<void()> task) CVM_EXCLUDES(mutex_);
  // Drops what is pending and waits for the task that runs. Not to be called from a task.
  void Stop() CVM_EXCLUDES(mutex_);
  // Waits until nothing is pending or running. Not to be called from a task.
  void WaitIdle() CVM_EXCLUDES(mutex_);

 private:
  void Run() CVM_EXCLUDES(mutex_);

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> tasks_ CVM_GUARDED_BY(mutex_);
  bool running_ CVM_GUARDED_BY(mutex_) = false;
  bool stopped_ CVM_GUARDED_BY(mutex_) = false;
  // Last, so that the thread starts when all else is ready.
  std::jthread thread_;
};

}  // namespace cvm::hypervisor
