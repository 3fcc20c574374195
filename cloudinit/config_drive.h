// SPDX-License-Identifier: Apache-2.0
//
// The config drive: an ISO 9660 volume labelled "config-2" with the OpenStack metadata tree, from
// which cloud-init and cloudbase-init set up a guest.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <vector>

#include "cloudinit/guest_settings.h"
#include "cloudinit/iso9660.h"

namespace cvm::cloudinit {

inline constexpr const char* kConfigDriveLabel = "config-2";

// The files of the drive:
//   openstack/latest/ and openstack/2018-08-27/ (the newest version that cloud-init knows; it
//   prefers a dated folder to "latest"), each with
//     meta_data.json, network_data.json, vendor_data.json, and user_data unless it is empty;
//   ec2/latest/meta-data.json;
//   os_action/os.conf and qcloud_action/os.conf, the same twice.
// vendor_data.json, user_data and os.conf have mode 0400 (a password hash, and what the user chose
// to put there), the others 0444. Fails as ValidateGuestSettings does. Pure and thread-safe.
absl::StatusOr<std::vector<IsoFile>> ConfigDriveFiles(const GuestSettings& settings);

// The bytes of the image. Same settings, same bytes: the time of all files is fixed. The image
// holds the password hash and the user data: keep it at mode 0600.
absl::StatusOr<std::string> BuildConfigDrive(const GuestSettings& settings);

}  // namespace cvm::cloudinit
