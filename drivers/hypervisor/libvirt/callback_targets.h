// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "common/mutex.h"

namespace cvm::hypervisor {

// What libvirt's callbacks act on, by a number that goes through libvirt in place of a pointer:
// libvirt may call once more while a callback is being removed, and does not always free what it
// was given. Thread-safe; one per type and process.
template <class T>
class CallbackTargets {
 public:
  static CallbackTargets& Instance() {
    static auto* const targets = new CallbackTargets;
    return *targets;
  }

  // Does not keep `target` alive.
  void* Add(const std::shared_ptr<T>& target) {
    MutexLock lock(mutex_);
    targets_[++last_] = target;
    return reinterpret_cast<void*>(last_);  // NOLINT(performance-no-int-to-ptr): not a pointer
  }

  void Remove(void* handle) {
    MutexLock lock(mutex_);
    targets_.erase(reinterpret_cast<uintptr_t>(handle));
  }

  // Nothing when it was removed, or is gone.
  std::shared_ptr<T> Find(void* handle) {
    MutexLock lock(mutex_);
    const auto it = targets_.find(reinterpret_cast<uintptr_t>(handle));
    return it == targets_.end() ? nullptr : it->second.lock();
  }

 private:
  Mutex mutex_;
  uintptr_t last_ CVM_GUARDED_BY(mutex_) = 0;
  std::map<uintptr_t, std::weak_ptr<T>> targets_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::hypervisor
