// SPDX-License-Identifier: Apache-2.0
//
// What the agent remembers of the host itself.
#pragma once

#include <map>
#include <string>

#include "common/mutex.h"

namespace cvm::agent::core {

// A serialized v1::Host::Maintenance.
inline constexpr char kMaintenanceSetting[] = "maintenance";
// The boot of the host that was seen last.
inline constexpr char kBootIdSetting[] = "boot-id";
// The ids of instances that are still to be started after that boot, in that order, with a comma
// between them.
inline constexpr char kBootStartsSetting[] = "boot-starts";
// When the store was made, in whole seconds since 1970; written by the store itself. Absent in one
// that is older than the setting.
inline constexpr char kStoreMadeSetting[] = "store-made";

// In memory; written by the ledger. Thread-safe.
class HostSettings {
 public:
  // Empty when it was never set.
  std::string Get(const std::string& key) const;
  // An empty value removes it.
  void Put(const std::string& key, const std::string& value);

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::string> values_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::agent::core
