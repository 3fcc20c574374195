// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "agent/paths.h"
#include "cloudinit/guest_settings.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::agent::core {

// Makes a config drive, with the folder for it. It holds the password hash: for root, and for
// QEMU's user, to whom libvirt gives it.
absl::Status WriteConfigDrive(const std::string& path, const cloudinit::GuestSettings& settings);

// The ids of the instance's disks whose files are not there.
std::vector<std::string> MissingDisks(const Paths& paths, const v1::Instance& instance);

// Discards the blocks of a disk's file, as far as its file system does that, and removes it. What
// is gone already is no error.
absl::Status RemoveDisk(const Paths& paths, const std::string& disk_id);

// Removes the files of all disks of the instance but those for which `kept` is true, that of its
// rescue system included, and what an interrupted step left beside them.
absl::Status RemoveDisks(const Paths& paths, const v1::Instance& instance,
                         const std::function<bool(const std::string& disk_id)>& kept);

// Removes the instance's folder with the config drives, the console log, the UEFI variables and
// a rescue ISO.
absl::Status RemoveInstanceFolder(const Paths& paths, const std::string& instance_id);

}  // namespace cvm::agent::core
