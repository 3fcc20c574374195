// SPDX-License-Identifier: Apache-2.0
//
// What a guest is told about itself at its first boot: the input of the config drive and of every
// other document of this folder.
#pragma once

#include <absl/status/status.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace cvm::cloudinit {

inline constexpr std::size_t kMaxSshKeys = 100;
inline constexpr std::size_t kMaxNameServers = 8;
inline constexpr std::size_t kMaxSearchDomains = 32;
inline constexpr std::size_t kMaxInstanceIdLength = 64;
inline constexpr std::size_t kMaxDisplayNameBytes = 512;
inline constexpr std::size_t kMaxLoginUserLength = 32;  // what useradd takes
inline constexpr int kMinMtu = 576;
inline constexpr int kMinMtuV6 = 1280;
inline constexpr int kMaxMtu = 65535;

struct Address {
  std::string ip;         // IPv4 or IPv6, without a prefix
  int prefix_length = 0;  // 1..32 or 1..128
};

struct Nic {
  std::string id;   // "eni-xxxxxxxx": [A-Za-z0-9_-], unique
  std::string mac;  // lower case, "52:54:00:..", unicast, unique
  int mtu = 0;      // bytes; 0: the guest's default
  // Static addresses. None: the guest asks DHCP for an IPv4 address.
  std::vector<Address> addresses = {};
  // Default gateways, each within the prefix of an address of its family (or, for IPv6,
  // link-local). Gateways of later NICs get a higher route metric than those of earlier ones.
  std::optional<std::string> gateway4 = {};
  std::optional<std::string> gateway6 = {};
};

// The NIC's first IPv4 address; nullptr when it has none.
const Address* FirstIpv4(const Nic& nic);

struct GuestSettings {
  // What cloud-init and cloudbase-init compare with the instance id of the last boot: a new one
  // makes them run everything again. [A-Za-z0-9._-], e.g. the instance's id and a generation.
  std::string instance_id;
  std::string uuid;                          // the domain's, lower case with dashes
  std::string host_name;                     // see host_name.h
  std::string display_name;                  // any single-line UTF-8 text; empty: the host name
  std::vector<std::string> ssh_public_keys;  // see ssh_key.h
  std::optional<std::string> password_hash;  // of `login_user`, see password_hash.h; a secret
  // Who gets the password and the keys (the image's own default user gets the keys in any case).
  // Empty: the default user of the image's cloud-init configuration. "root" is allowed in.
  std::string login_user;
  // Whether sshd lets users in by password. Not set: not when there are SSH keys (a bound key
  // disables password login), else when there is a password, else as the image has it.
  std::optional<bool> ssh_password_login;
  std::vector<Nic> nics;
  std::vector<std::string> name_servers;    // addresses
  std::vector<std::string> search_domains;  // needs a name server
  std::string user_data;                    // raw bytes, see user_data.h
};

// Checks everything above, for either operating system (a Windows guest's stricter host name is the
// caller's to check). InvalidArgument names the field and the rule; secrets are never quoted.
absl::Status ValidateGuestSettings(const GuestSettings& settings);

// The part of the above that is about NICs, name servers and search domains.
absl::Status ValidateNetworkSettings(const GuestSettings& settings);

}  // namespace cvm::cloudinit
