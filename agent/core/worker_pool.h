// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace cvm::agent::core {

// A fixed number of threads that run tasks in the order they came. Thread-safe.
class WorkerPool {
 public:
  explicit WorkerPool(size_t threads);
  // Finishes the tasks under way and drops those that have not begun.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Dropped after Stop().
  void Submit(std::function<void()> task);
  // As the destructor; may be called once before it.
  void Stop();

 private:
  void Run();

  Mutex mutex_;
  CondVar changed_;
  std::deque<std::function<void()>> tasks_ CVM_GUARDED_BY(mutex_);
  bool stopping_ CVM_GUARDED_BY(mutex_) = false;
  std::vector<std::jthread> threads_;
};

}  // namespace cvm::agent::core
