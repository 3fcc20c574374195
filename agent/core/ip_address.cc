// SPDX-License-Identifier: Apache-2.0
#include "agent/core/ip_address.h"

#include <charconv>

#include "cloudinit/ip_address.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// A decimal number of at most `max`, without sign or leading zero.
std::optional<int> ParsePrefix(std::string_view text, int max) {
  if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < 0 || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::string Ipv4Address::ToString() const {
  return fmt::format("{}.{}.{}.{}", bits >> 24, (bits >> 16) & 0xff, (bits >> 8) & 0xff,
                     bits & 0xff);
}

std::optional<Ipv4Address> Ipv4Address::Parse(std::string_view text) {
  const auto address = cloudinit::ParseIpAddress(std::string(text));
  if (!address || address->family != cloudinit::IpFamily::kV4) return std::nullopt;
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) bits = bits << 8 | address->bytes[i];
  return Ipv4Address{bits};
}

uint32_t Ipv4Subnet::Mask() const {
  return prefix_length == 0 ? 0 : ~uint32_t{0} << (32 - prefix_length);
}

bool Ipv4Subnet::Contains(Ipv4Address address) const {
  return (address.bits & Mask()) == network.bits;
}

Ipv4Address Ipv4Subnet::Broadcast() const { return Ipv4Address{network.bits | ~Mask()}; }

bool Ipv4Subnet::IsHost(Ipv4Address address) const {
  if (!Contains(address)) return false;
  if (prefix_length >= 31) return true;
  return address != network && address != Broadcast();
}

std::string Ipv4Subnet::ToString() const {
  return fmt::format("{}/{}", network.ToString(), prefix_length);
}

std::optional<Ipv4Subnet> Ipv4Subnet::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto network = Ipv4Address::Parse(text.substr(0, slash));
  const auto prefix = ParsePrefix(text.substr(slash + 1), 32);
  if (!network || !prefix) return std::nullopt;
  const Ipv4Subnet subnet{*network, *prefix};
  if ((network->bits & ~subnet.Mask()) != 0) return std::nullopt;
  return subnet;
}

std::optional<std::string> CanonicalIpv6WithPrefix(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto prefix = ParsePrefix(text.substr(slash + 1), 128);
  const auto address = cloudinit::ParseIpAddress(std::string(text.substr(0, slash)));
  if (!prefix || !address || address->family != cloudinit::IpFamily::kV6) return std::nullopt;
  return fmt::format("{}/{}", cloudinit::ToText(*address), *prefix);
}

}  // namespace cvm::agent::core
