// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace cvm::cloudinit {

enum class IpFamily { kV4, kV6 };

// An address in network byte order; IPv4 uses the first four bytes.
struct IpAddress {
  IpFamily family = IpFamily::kV4;
  std::array<std::uint8_t, 16> bytes{};

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

// The address that `text` is, in the usual notation and without a prefix, a zone or white space.
std::optional<IpAddress> ParseIpAddress(const std::string& text);

// The one canonical text of an address (RFC 5952 for IPv6).
std::string ToText(const IpAddress& address);

// 32 or 128.
int AddressBits(IpFamily family);

// The netmask of a prefix as an address: "255.255.255.0", "ffff:ffff::". `prefix_length` must be
// between 0 and AddressBits(family).
IpAddress Netmask(IpFamily family, int prefix_length);

// Whether both are of one family and share their first `prefix_length` bits.
bool SamePrefix(const IpAddress& a, const IpAddress& b, int prefix_length);

// Whether all bits behind the prefix are `ones` (the IPv4 broadcast address) or zeros (the address
// of the network itself).
bool HostBitsAre(const IpAddress& address, int prefix_length, bool ones);

// Whether a host's interface can have this address: neither unspecified, loopback nor multicast,
// nor in 240.0.0.0/4 or 0.0.0.0/8, nor IPv4 mapped into IPv6.
bool IsHostAddress(const IpAddress& address);

// fe80::/10
bool IsLinkLocalV6(const IpAddress& address);

}  // namespace cvm::cloudinit
