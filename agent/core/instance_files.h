// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "absl/status/status.h"
#include "agent/paths.h"
#include "cloudinit/guest_settings.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::agent::core {

// Makes a config drive, with the folder for it. It holds the password hash: for root, and for
// QEMU's user, to whom libvirt gives it.
absl::Status WriteConfigDrive(const std::string& path, const cloudinit::GuestSettings& settings);

// Removes the files of all disks of the instance, that of its rescue system included, and what an
// interrupted step left beside them. What is gone already is no error.
absl::Status RemoveDisks(const Paths& paths, const v1::Instance& instance);

// Removes the instance's folder with the config drives, the console log, the UEFI variables and
// a rescue ISO.
absl::Status RemoveInstanceFolder(const Paths& paths, const std::string& instance_id);

}  // namespace cvm::agent::core
