// SPDX-License-Identifier: Apache-2.0
//
// ValidateNetworkSettings of guest_settings.h.
#include <absl/status/status.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "cloudinit/guest_settings.h"
#include "cloudinit/ip_address.h"

namespace cvm::cloudinit {
namespace {

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool IsAlphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

absl::Status Refuse(std::string_view where, std::string_view why) {
  return absl::InvalidArgumentError(fmt::format("{} {}", where, why));
}

// A unicast MAC address, "52:54:00:12:34:56".
bool IsMac(std::string_view mac) {
  constexpr std::size_t kLength = 17;
  if (mac.size() != kLength || mac == "00:00:00:00:00:00") return false;
  for (std::size_t i = 0; i < kLength; ++i) {
    if (i % 3 == 2 ? mac[i] != ':' : !IsLowerHex(mac[i])) return false;
  }
  constexpr std::string_view kMulticastDigits = "13579bdf";  // the lowest bit of the first byte
  return kMulticastDigits.find(mac[1]) == std::string_view::npos;
}

bool IsNicId(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return IsAlphanumeric(c) || c == '-' || c == '_';
  });
}

absl::Status CheckMtu(const Nic& nic, std::string_view where) {
  if (nic.mtu == 0) return absl::OkStatus();
  const bool v6 = nic.gateway6.has_value() ||
                  std::any_of(nic.addresses.begin(), nic.addresses.end(),
                              [](const Address& a) { return a.ip.find(':') != std::string::npos; });
  const int smallest = v6 ? kMinMtuV6 : kMinMtu;
  if (nic.mtu >= smallest && nic.mtu <= kMaxMtu) return absl::OkStatus();
  return Refuse(where, fmt::format("has MTU {}; {} to {} are allowed{}", nic.mtu, smallest, kMaxMtu,
                                   v6 ? " with IPv6" : ""));
}

absl::Status CheckAddress(const Address& address, std::string_view where) {
  const std::optional<IpAddress> ip = ParseIpAddress(address.ip);
  if (!ip.has_value()) return Refuse(where, "is not an IPv4 or IPv6 address");
  const int bits = AddressBits(ip->family);
  if (address.prefix_length < 1 || address.prefix_length > bits) {
    return Refuse(where, fmt::format("has prefix length {}; 1 to {} are allowed",
                                     address.prefix_length, bits));
  }
  if (!IsHostAddress(*ip)) {
    return Refuse(where, "is unspecified, loopback, multicast or reserved");
  }
  const bool has_broadcast = ip->family == IpFamily::kV4 && address.prefix_length <= 30;
  if (has_broadcast && HostBitsAre(*ip, address.prefix_length, false)) {
    return Refuse(where, "is the address of its network");
  }
  if (has_broadcast && HostBitsAre(*ip, address.prefix_length, true)) {
    return Refuse(where, "is the broadcast address of its network");
  }
  return absl::OkStatus();
}

// `addresses` have been checked.
absl::Status CheckGateway(const std::optional<std::string>& text, IpFamily family,
                          const std::vector<Address>& addresses, std::string_view where) {
  if (!text.has_value()) return absl::OkStatus();
  const std::optional<IpAddress> gateway = ParseIpAddress(*text);
  if (!gateway.has_value() || gateway->family != family || !IsHostAddress(*gateway)) {
    return Refuse(where, family == IpFamily::kV4 ? "is not an IPv4 host address"
                                                 : "is not an IPv6 host address");
  }
  bool of_family = false;
  bool reachable = false;
  for (const Address& address : addresses) {
    const std::optional<IpAddress> ip = ParseIpAddress(address.ip);
    if (!ip.has_value() || ip->family != family) continue;
    if (*ip == *gateway) return Refuse(where, "is the NIC's own address");
    of_family = true;
    reachable = reachable || SamePrefix(*ip, *gateway, address.prefix_length);
  }
  if (!of_family) return Refuse(where, "needs a static address of its family on the NIC");
  if (!reachable && !IsLinkLocalV6(*gateway)) {
    return Refuse(where, "is outside of the NIC's networks");
  }
  return absl::OkStatus();
}

struct IpLess {
  bool operator()(const IpAddress& a, const IpAddress& b) const {
    return a.family != b.family ? a.family < b.family : a.bytes < b.bytes;
  }
};

absl::Status CheckNic(const Nic& nic, std::string_view where, std::set<IpAddress, IpLess>& seen) {
  if (!IsNicId(nic.id)) {
    return Refuse(where, "has an id that is not 1 to 64 of letters, digits, '-' and '_'");
  }
  if (!IsMac(nic.mac)) {
    return Refuse(where,
                  "has a mac that is not a lower-case unicast address like "
                  "52:54:00:12:34:56");
  }
  if (absl::Status status = CheckMtu(nic, where); !status.ok()) return status;
  for (std::size_t i = 0; i < nic.addresses.size(); ++i) {
    const std::string place = fmt::format("{}.addresses[{}]", where, i);
    if (absl::Status status = CheckAddress(nic.addresses[i], place); !status.ok()) return status;
    if (!seen.insert(*ParseIpAddress(nic.addresses[i].ip)).second) {
      return Refuse(place, "is given more than once");
    }
  }
  const std::string gateway4 = fmt::format("{}.gateway4", where);
  const std::string gateway6 = fmt::format("{}.gateway6", where);
  if (absl::Status status = CheckGateway(nic.gateway4, IpFamily::kV4, nic.addresses, gateway4);
      !status.ok()) {
    return status;
  }
  return CheckGateway(nic.gateway6, IpFamily::kV6, nic.addresses, gateway6);
}

// Labels of letters, digits and '-', up to 63 characters each and 253 together (RFC 1035).
bool IsDomainName(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  for (;;) {
    const std::size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (label.empty() || label.size() > 63 || label.front() == '-' || label.back() == '-' ||
        !std::all_of(label.begin(), label.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-' || c == '_'; })) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    name.remove_prefix(dot + 1);
  }
}

absl::Status CheckResolver(const GuestSettings& settings) {
  if (settings.name_servers.size() > kMaxNameServers) {
    return Refuse("name_servers", fmt::format("has more than {} entries", kMaxNameServers));
  }
  if (settings.search_domains.size() > kMaxSearchDomains) {
    return Refuse("search_domains", fmt::format("has more than {} entries", kMaxSearchDomains));
  }
  for (std::size_t i = 0; i < settings.name_servers.size(); ++i) {
    const std::optional<IpAddress> ip = ParseIpAddress(settings.name_servers[i]);
    if (!ip.has_value() || !IsHostAddress(*ip)) {
      return Refuse(fmt::format("name_servers[{}]", i), "is not the address of a host");
    }
  }
  for (std::size_t i = 0; i < settings.search_domains.size(); ++i) {
    if (!IsDomainName(settings.search_domains[i])) {
      return Refuse(fmt::format("search_domains[{}]", i), "is not a domain name");
    }
  }
  // In the OpenStack document a search domain hangs on a name server.
  if (!settings.search_domains.empty() && settings.name_servers.empty()) {
    return Refuse("search_domains", "need at least one name server");
  }
  return absl::OkStatus();
}

}  // namespace

const Address* FirstIpv4(const Nic& nic) {
  for (const Address& address : nic.addresses) {
    const std::optional<IpAddress> ip = ParseIpAddress(address.ip);
    if (ip.has_value() && ip->family == IpFamily::kV4) return &address;
  }
  return nullptr;
}

absl::Status ValidateNetworkSettings(const GuestSettings& settings) {
  std::set<std::string_view> ids;
  std::set<std::string_view> macs;
  std::set<IpAddress, IpLess> addresses;
  for (std::size_t i = 0; i < settings.nics.size(); ++i) {
    const Nic& nic = settings.nics[i];
    const std::string where = fmt::format("nics[{}]", i);
    if (absl::Status status = CheckNic(nic, where, addresses); !status.ok()) return status;
    if (!ids.insert(nic.id).second) return Refuse(where, "has the id of another NIC");
    if (!macs.insert(nic.mac).second) return Refuse(where, "has the mac of another NIC");
  }
  return CheckResolver(settings);
}

}  // namespace cvm::cloudinit
