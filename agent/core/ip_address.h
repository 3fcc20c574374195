// SPDX-License-Identifier: Apache-2.0
//
// IPv4 addresses and subnets as numbers that can be counted through.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cvm::agent::core {

struct Ipv4Address {
  uint32_t bits = 0;  // host byte order
  std::string ToString() const;
  friend auto operator<=>(const Ipv4Address&, const Ipv4Address&) = default;

  // Dotted quad, nothing else: "10.0.0.1".
  static std::optional<Ipv4Address> Parse(std::string_view text);
};

struct Ipv4Subnet {
  Ipv4Address network;
  int prefix_length = 0;

  uint32_t Mask() const;
  bool Contains(Ipv4Address address) const;
  Ipv4Address Broadcast() const;
  // An address that a guest may have: in the subnet, neither the network's nor the broadcast
  // address (both are hosts in a /31 and a /32).
  bool IsHost(Ipv4Address address) const;
  std::string ToString() const;

  // "10.0.0.0/24"; the host bits must be zero.
  static std::optional<Ipv4Subnet> Parse(std::string_view text);
};

// "2001:db8::5/64" in canonical form, or nothing when it is not an address with a prefix length.
std::optional<std::string> CanonicalIpv6WithPrefix(std::string_view text);

}  // namespace cvm::agent::core
