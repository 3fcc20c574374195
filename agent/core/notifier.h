// SPDX-License-Identifier: Apache-2.0
//
// Tells whoever wants to know that a feed has something new.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "common/mutex.h"

namespace cvm::agent::core {

// Thread-safe.
class Notifier {
 private:
  struct Watcher {
    Mutex mutex;
    std::function<void()> notify CVM_GUARDED_BY(mutex);
  };

 public:
  class Subscription {
   public:
    explicit Subscription(std::shared_ptr<Watcher> watcher) : watcher_(std::move(watcher)) {}
    ~Subscription() {
      MutexLock lock(watcher_->mutex);
      watcher_->notify = nullptr;
    }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    const std::shared_ptr<Watcher> watcher_;
  };

  // `notify` is called by each Notify(), without the change and outside every lock but the
  // subscription's own, until the subscription is dropped; it must be quick. Dropping waits for a
  // call under way.
  std::unique_ptr<Subscription> Subscribe(std::function<void()> notify);
  void Notify();

 private:
  Mutex mutex_;
  std::vector<std::weak_ptr<Watcher>> watchers_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::agent::core
