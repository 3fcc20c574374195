// SPDX-License-Identifier: Apache-2.0
//
// Bridges in memory, for tests of what stands on them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "drivers/network/bridges.h"

namespace cvm::network {

// Thread-safe.
class FakeBridges : public Bridges {
 public:
  void SetBridge(const std::string& name, bool up) {
    MutexLock lock(mutex_);
    bridges_[name] = up;
  }
  void RemoveBridge(const std::string& name) {
    MutexLock lock(mutex_);
    bridges_.erase(name);
  }
  void AddTap(const std::string& name) {
    MutexLock lock(mutex_);
    taps_.insert(name);
  }
  std::set<std::string> taps() const {
    MutexLock lock(mutex_);
    return taps_;
  }
  // What every call returns from now on; OK ends it.
  void FailWith(absl::Status status) {
    MutexLock lock(mutex_);
    failure_ = std::move(status);
  }

  absl::StatusOr<bool> IsUp(const std::string& name) override {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    const auto it = bridges_.find(name);
    return it != bridges_.end() && it->second;
  }
  absl::StatusOr<std::vector<std::string>> ListIdleTaps(const std::string& prefix) override {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    std::vector<std::string> found;
    for (const std::string& tap : taps_) {
      if (tap.compare(0, prefix.size(), prefix) == 0) found.push_back(tap);
    }
    return found;
  }
  absl::Status RemoveTap(const std::string& name) override {
    MutexLock lock(mutex_);
    if (!failure_.ok()) return failure_;
    taps_.erase(name);
    return absl::OkStatus();
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, bool> bridges_ CVM_GUARDED_BY(mutex_);
  std::set<std::string> taps_ CVM_GUARDED_BY(mutex_);
  absl::Status failure_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::network
