// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "cvm/agent/v1/volume.pb.h"

namespace cvm::agent::core {

// Every volume of this host, in memory. Thread-safe.
class VolumeTable {
 public:
  void Put(v1::Volume volume);
  void Erase(const std::string& id);
  std::optional<v1::Volume> Find(const std::string& id) const;
  // In the order of their ids.
  std::vector<v1::Volume> All() const;

 private:
  mutable Mutex mutex_;
  std::map<std::string, v1::Volume> by_id_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::agent::core
