// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstddef>

namespace cvm::cloudinit {
namespace {

std::size_t ByteCount(IpFamily family) { return family == IpFamily::kV4 ? 4 : 16; }

int SystemFamily(IpFamily family) { return family == IpFamily::kV4 ? AF_INET : AF_INET6; }

// The bits of byte `index` that a prefix covers, as a mask.
std::uint8_t MaskByte(std::size_t index, int prefix_length) {
  const int covered = std::clamp(prefix_length - static_cast<int>(index) * 8, 0, 8);
  return static_cast<std::uint8_t>(0xff00U >> static_cast<unsigned>(covered));
}

bool IsV4MappedV6(const IpAddress& address) {
  const auto zeros_end = address.bytes.begin() + 10;
  return std::all_of(address.bytes.begin(), zeros_end, [](std::uint8_t b) { return b == 0; }) &&
         address.bytes[10] == 0xff && address.bytes[11] == 0xff;
}

}  // namespace

std::optional<IpAddress> ParseIpAddress(const std::string& text) {
  // inet_pton would stop at the NUL and take what is in front of it.
  if (text.find('\0') != std::string::npos) return std::nullopt;
  for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
    IpAddress address{.family = family};
    if (inet_pton(SystemFamily(family), text.c_str(), address.bytes.data()) == 1) return address;
  }
  return std::nullopt;
}

std::string ToText(const IpAddress& address) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  const char* text = inet_ntop(SystemFamily(address.family), address.bytes.data(), buffer.data(),
                               static_cast<socklen_t>(buffer.size()));
  return text == nullptr ? std::string() : std::string(text);
}

int AddressBits(IpFamily family) { return static_cast<int>(ByteCount(family)) * 8; }

IpAddress Netmask(IpFamily family, int prefix_length) {
  IpAddress mask{.family = family};
  for (std::size_t i = 0; i < ByteCount(family); ++i) mask.bytes[i] = MaskByte(i, prefix_length);
  return mask;
}

bool SamePrefix(const IpAddress& a, const IpAddress& b, int prefix_length) {
  if (a.family != b.family) return false;
  for (std::size_t i = 0; i < ByteCount(a.family); ++i) {
    if (((a.bytes[i] ^ b.bytes[i]) & MaskByte(i, prefix_length)) != 0) return false;
  }
  return true;
}

bool HostBitsAre(const IpAddress& address, int prefix_length, bool ones) {
  for (std::size_t i = 0; i < ByteCount(address.family); ++i) {
    const auto host_mask = static_cast<std::uint8_t>(~MaskByte(i, prefix_length));
    if ((address.bytes[i] & host_mask) != (ones ? host_mask : 0)) return false;
  }
  return true;
}

bool IsHostAddress(const IpAddress& address) {
  const std::uint8_t first = address.bytes[0];
  if (address.family == IpFamily::kV4) return first != 0 && first != 127 && first < 224;
  const bool low = std::all_of(address.bytes.begin(), address.bytes.end() - 1,
                               [](std::uint8_t b) { return b == 0; }) &&
                   address.bytes[15] <= 1;  // "::" and "::1"
  return !low && first != 0xff && !IsV4MappedV6(address);
}

bool IsLinkLocalV6(const IpAddress& address) {
  return address.family == IpFamily::kV6 && address.bytes[0] == 0xfe &&
         (address.bytes[1] & 0xc0U) == 0x80;
}

}  // namespace cvm::cloudinit
