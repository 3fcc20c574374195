// SPDX-License-Identifier: Apache-2.0
//
// The documents that a guest is told about itself with, as the config drive holds them and as a
// metadata server can serve them. Each is a pure function of settings that ValidateGuestSettings
// has accepted, and ends in a newline. An error (InvalidArgument) means that a string is not UTF-8,
// which validation rules out.
#pragma once

#include <absl/status/statusor.h>

#include <string>

#include "cloudinit/guest_settings.h"

namespace cvm::cloudinit {

// meta_data.json: host name, display name, keys.
//
// Its "uuid" is settings.instance_id: cloud-init and cloudbase-init both take that key, and nothing
// else, for the instance id, and it must change when the guest is to be set up anew. The domain's
// UUID is "meta"."domain_uuid". Since it is not the SMBIOS UUID, cloud-init reads the drive again
// at each boot instead of trusting its cache.
absl::StatusOr<std::string> MetaDataJson(const GuestSettings& settings);

// network_data.json: links, addresses with routes, name servers. cloud-init finds the guest's
// interface by the MAC address.
absl::StatusOr<std::string> NetworkDataJson(const GuestSettings& settings);

// vendor_data.json: {"cloud-init": "#cloud-config\n..."}, see VendorCloudConfig.
absl::StatusOr<std::string> VendorDataJson(const GuestSettings& settings);

// The cloud-config that vendor_data.json carries: "#cloud-config" and a JSON object (which is
// YAML).
//
// What of it a user's own cloud-config (in user data) replaces: cloud-init merges the two by key,
// the user's first, dictionaries by their keys, lists as a whole.
//   - SSH keys of root and of the image's default user come from meta_data.json and survive any
//   user
//     data. Keys of another login_user are in "users": a user's own "users" list replaces that one,
//     and names everyone whom it wants.
//   - The password is in "chpasswd" (in "password" when login_user is empty): it survives unless
//   the
//     user data sets the same key.
//   - "write_files" is there only for root with password login, to allow root in sshd where it is
//     "prohibit-password" (Debian): a user's own "write_files" replaces it, and then has to do
//     that.
//   - "ssh_pwauth", "disable_root", "manage_etc_hosts" and the like: the user's value counts.
//   - "vendor_data: {enabled: false}" in user data switches all of it off: cloud-init's own rule.
//
// The password is given in two forms where that is safe: "users" (cloud-init from 22.3 on) and
// "list" (before; deprecated but still read), because each version ignores the form it does not
// know. "list" takes only hashes of IsHashKnownToOldCloudInit for hashes; others go into "users"
// only.
absl::StatusOr<std::string> VendorCloudConfig(const GuestSettings& settings);

// ec2/latest/meta-data.json: what cloud-init's config-drive source reads beside the OpenStack tree.
absl::StatusOr<std::string> Ec2MetaDataJson(const GuestSettings& settings);

// os.conf, for a guest without cloud-init that sets itself up by a script of its own (F172-F174):
// lines of NAME=VALUE for a shell, each only when there is something to say: hostname, password
// (the hash, for root), eth0_ip_addr, eth0_mac_addr (upper case), eth0_netmask, eth0_gateway (all
// of the first NIC, IPv4), dns_nameserver ("…", space separated).
//
// The documented script reads the file with "." and takes the password's line with grep, as it is:
// so the hash has no quotes around it. Sourced, its '$' begin empty variables, and nothing runs:
// the characters of a value are those of a host name, an address or crypt(5), as validation saw to.
std::string OsConf(const GuestSettings& settings);

}  // namespace cvm::cloudinit
