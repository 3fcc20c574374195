// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/serial_queue.h"

#include <utility>

namespace cvm::hypervisor {

SerialQueue::SerialQueue() : thread_([this] { Run(); }) {}

SerialQueue::~SerialQueue() { Stop(); }

void SerialQueue::Post(std::function<void()> task) {
  MutexLock lock(mutex_);
  if (stopped_) return;
  tasks_.push_back(std::move(task));
  changed_.NotifyAll();
}

void SerialQueue::Stop() {
  std::deque<std::function<void()>> dropped;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    // What the tasks own is destroyed without the lock: it may post.
    dropped.swap(tasks_);
    changed_.NotifyAll();
    while (running_) changed_.Wait(mutex_);
  }
  if (thread_.joinable()) thread_.join();
}

void SerialQueue::WaitIdle() {
  MutexLock lock(mutex_);
  while (running_ || !tasks_.empty()) changed_.Wait(mutex_);
}

void SerialQueue::Run() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(mutex_);
      while (!stopped_ && tasks_.empty()) changed_.Wait(mutex_);
      if (stopped_) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
      running_ = true;
    }
    task();
    task = nullptr;
    MutexLock lock(mutex_);
    running_ = false;
    changed_.NotifyAll();
  }
}

}  // namespace cvm::hypervisor
