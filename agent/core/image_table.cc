// SPDX-License-Identifier: Apache-2.0
#include "agent/core/image_table.h"

namespace cvm::agent::core {

void ImageTable::Put(v1::Image image) {
  MutexLock lock(mutex_);
  std::string id = image.id();
  by_id_.insert_or_assign(std::move(id), std::move(image));
}

void ImageTable::Erase(const std::string& id) {
  MutexLock lock(mutex_);
  by_id_.erase(id);
}

std::optional<v1::Image> ImageTable::Find(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return std::nullopt;
  return it->second;
}

std::vector<v1::Image> ImageTable::List(const std::string& after_id, size_t limit) const {
  MutexLock lock(mutex_);
  std::vector<v1::Image> list;
  for (auto it = by_id_.upper_bound(after_id); it != by_id_.end() && list.size() < limit; ++it) {
    list.push_back(it->second);
  }
  return list;
}

}  // namespace cvm::agent::core
