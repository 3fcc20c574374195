// SPDX-License-Identifier: Apache-2.0
#include "agent/core/volume_table.h"

namespace cvm::agent::core {

void VolumeTable::Put(v1::Volume volume) {
  MutexLock lock(mutex_);
  std::string id = volume.id();
  by_id_.insert_or_assign(std::move(id), std::move(volume));
}

void VolumeTable::Erase(const std::string& id) {
  MutexLock lock(mutex_);
  by_id_.erase(id);
}

std::optional<v1::Volume> VolumeTable::Find(const std::string& id) const {
  MutexLock lock(mutex_);
  const auto it = by_id_.find(id);
  if (it == by_id_.end()) return std::nullopt;
  return it->second;
}

std::vector<v1::Volume> VolumeTable::All() const {
  MutexLock lock(mutex_);
  std::vector<v1::Volume> list;
  for (const auto& [id, volume] : by_id_) list.push_back(volume);
  return list;
}

}  // namespace cvm::agent::core
