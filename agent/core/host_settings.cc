// SPDX-License-Identifier: Apache-2.0
#include "agent/core/host_settings.h"

namespace cvm::agent::core {

std::string HostSettings::Get(const std::string& key) const {
  MutexLock lock(mutex_);
  const auto it = values_.find(key);
  return it == values_.end() ? "" : it->second;
}

void HostSettings::Put(const std::string& key, const std::string& value) {
  MutexLock lock(mutex_);
  if (value.empty()) {
    values_.erase(key);
  } else {
    values_[key] = value;
  }
}

}  // namespace cvm::agent::core
