// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "cvm/agent/v1/image.pb.h"

namespace cvm::agent::core {

// Every image of this host, in memory. Thread-safe.
class ImageTable {
 public:
  void Put(v1::Image image);
  void Erase(const std::string& id);
  std::optional<v1::Image> Find(const std::string& id) const;
  // In the order of their ids, those after `after_id`, at most `limit`.
  std::vector<v1::Image> List(const std::string& after_id, size_t limit) const;

 private:
  mutable Mutex mutex_;
  std::map<std::string, v1::Image> by_id_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::agent::core
