// SPDX-License-Identifier: Apache-2.0
#include "agent/core/notifier.h"

#include <utility>

namespace cvm::agent::core {

std::unique_ptr<Notifier::Subscription> Notifier::Subscribe(std::function<void()> notify) {
  auto watcher = std::make_shared<Watcher>();
  {
    MutexLock lock(watcher->mutex);
    watcher->notify = std::move(notify);
  }
  MutexLock lock(mutex_);
  std::erase_if(watchers_, [](const auto& weak) { return weak.expired(); });
  watchers_.push_back(watcher);
  return std::make_unique<Subscription>(std::move(watcher));
}

void Notifier::Notify() {
  std::vector<std::shared_ptr<Watcher>> watchers;
  {
    MutexLock lock(mutex_);
    for (const auto& weak : watchers_) {
      if (auto watcher = weak.lock()) watchers.push_back(std::move(watcher));
    }
  }
  for (const auto& watcher : watchers) {
    MutexLock lock(watcher->mutex);
    if (watcher->notify) watcher->notify();
  }
}

}  // namespace cvm::agent::core
