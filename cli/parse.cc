// SPDX-License-Identifier: Apache-2.0
#include "cli/parse.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>

#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

absl::Status Wrong(const std::string& text) { return absl::InvalidArgumentError(text); }

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Bytes of one unit with this suffix ("", "K", "MiB", ...), or nothing.
std::optional<uint64_t> UnitOf(std::string_view suffix, uint64_t plain) {
  if (suffix.empty()) return plain;
  constexpr std::string_view kLetters = "KMGT";
  const size_t index = kLetters.find(static_cast<char>(suffix[0] & ~0x20));
  if (index == std::string_view::npos) return std::nullopt;
  const std::string_view rest = suffix.substr(1);
  if (!rest.empty() && rest != "iB" && rest != "B" && rest != "ib" && rest != "b") {
    return std::nullopt;
  }
  return uint64_t{1} << (10 * (index + 1));
}

absl::StatusOr<uint64_t> ScaledBytes(std::string_view text, uint64_t plain) {
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view digits = text.substr(0, end);
  const std::optional<uint64_t> unit = UnitOf(text.substr(end), plain);
  double value = 0;
  const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value,
                                             std::chars_format::fixed);
  if (digits.empty() || error != std::errc() || stop != digits.data() + digits.size() || !unit) {
    return Wrong(fmt::format("'{}' is not a size: write a number, or one with K, M, G or T", text));
  }
  const double bytes = value * static_cast<double>(*unit);
  // Beyond 2^53 a double no longer holds every whole number, and no disk is that large.
  if (bytes > static_cast<double>(uint64_t{1} << 53)) {
    return Wrong(fmt::format("'{}' is too large", text));
  }
  if (bytes != std::floor(bytes)) return Wrong(fmt::format("'{}' is not whole bytes", text));
  return static_cast<uint64_t>(bytes);
}

template <typename Enum>
absl::StatusOr<Enum> Choose(std::string_view text, std::string_view what,
                            std::initializer_list<std::pair<std::string_view, Enum>> choices) {
  std::string words;
  for (const auto& [word, value] : choices) {
    if (word == text) return value;
    words += fmt::format("{}{}", words.empty() ? "" : ", ", word);
  }
  return Wrong(fmt::format("'{}' is no {}: one of {}", text, what, words));
}

}  // namespace

absl::StatusOr<uint64_t> ParseSize(std::string_view text, uint64_t unit) {
  CVM_ASSIGN_OR_RETURN(const uint64_t bytes, ScaledBytes(text, unit));
  if (bytes == 0 || bytes % kMib != 0) {
    return Wrong(fmt::format("'{}' is not a size: at least 1 MiB, in whole MiB", text));
  }
  return bytes;
}

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) { return ScaledBytes(text, 1); }

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  absl::Duration duration;
  const std::string spelled(text);
  const bool bare = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
  if (!absl::ParseDuration(bare ? spelled + "s" : spelled, &duration) ||
      duration < absl::ZeroDuration() || duration > absl::Hours(1000)) {
    return Wrong(fmt::format("'{}' is not a duration: write 90s, 5m or 1h30m", text));
  }
  return duration;
}

absl::StatusOr<std::pair<std::string, std::string>> ParseTag(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return Wrong(fmt::format("'{}' is not a tag: write KEY=VALUE", text));
  }
  return std::pair(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
}

absl::StatusOr<agent::v1::NicSpec> ParseNic(std::string_view text) {
  agent::v1::NicSpec nic;
  for (const std::string_view part : Split(text, ',')) {
    const size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    const std::string value(equals == std::string_view::npos ? "" : part.substr(equals + 1));
    if (value.empty()) {
      return Wrong(fmt::format("'{}' in NIC '{}': write KEY=VALUE", part, text));
    }
    std::string* field = key == "network" ? nic.mutable_network_id()
                         : key == "ip"    ? nic.mutable_ipv4_address()
                         : key == "mac"   ? nic.mutable_mac()
                         : key == "id"    ? nic.mutable_id()
                         : key == "ipv6"  ? nic.add_ipv6_addresses()
                                          : nullptr;
    if (field == nullptr) {
      return Wrong(
          fmt::format("'{}' in NIC '{}': the keys are network, ip, ipv6, mac and id", key, text));
    }
    if (!field->empty()) return Wrong(fmt::format("'{}' is twice in NIC '{}'", key, text));
    *field = value;
  }
  return nic;
}

absl::StatusOr<agent::v1::DiskSpec> ParseDataDisk(std::string_view text) {
  agent::v1::DiskSpec disk;
  // A volume has its size.
  if (text.starts_with("id=") && text.size() > 3) {
    disk.set_id(std::string(text.substr(3)));
    return disk;
  }
  const size_t comma = text.find(',');
  CVM_ASSIGN_OR_RETURN(const uint64_t bytes, ParseSize(text.substr(0, comma), kGib));
  disk.set_size_bytes(bytes);
  if (comma != std::string_view::npos) {
    const std::string_view rest = text.substr(comma + 1);
    if (!rest.starts_with("id=") || rest.size() == 3) {
      return Wrong(fmt::format("'{}' is not a data disk: write SIZE or SIZE,id=disk-...", text));
    }
    disk.set_id(std::string(rest.substr(3)));
  }
  return disk;
}

bool IsPublicKey(std::string_view text) {
  return text.find(' ') != std::string_view::npos &&
         (text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-"));
}

absl::StatusOr<std::vector<std::string>> ParseKeyLines(std::string_view content) {
  std::vector<std::string> keys;
  for (const std::string_view raw : Split(content, '\n')) {
    const std::string_view line = Trim(raw);
    if (line.starts_with("-----BEGIN")) {
      return Wrong("this is a private key: give the public one (its name ends in .pub)");
    }
    if (!line.empty() && line[0] != '#') keys.emplace_back(line);
  }
  if (keys.empty()) return Wrong("there is no public key in it");
  return keys;
}

absl::StatusOr<std::string> ParsePasswordHash(std::string_view content) {
  const std::string_view line = Trim(content.substr(0, content.find('\n')));
  if (line.size() < 3 || line[0] != '$' || line.find('$', 1) == std::string_view::npos) {
    return Wrong("the password hash is not in crypt form ($6$... or $y$...)");
  }
  return std::string(line);
}

absl::StatusOr<std::string> ParseLoopbackAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  const std::string_view port_text = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  std::string host(text.substr(0, colon));
  int port = 0;
  const auto [stop, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (port_text.empty() || error != std::errc() || stop != port_text.data() + port_text.size() ||
      port < 1 || port > 65535) {
    return Wrong(fmt::format("'{}' is not an address: write HOST:PORT", text));
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  in_addr v4{};
  in6_addr v6{};
  // "localhost" may be resolved to anything: it is taken at its word instead.
  if (host == "localhost") host = "127.0.0.1";
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET) {
    return fmt::format("ipv4:{}:{}", host, port);
  }
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6)) {
    return fmt::format("ipv6:[{}]:{}", host, port);
  }
  return Wrong(fmt::format(
      "'{}' is not a loopback address: the connection is not encrypted, so nothing else is allowed",
      text));
}

absl::StatusOr<agent::v1::DiskFormat> ParseDiskFormat(std::string_view text) {
  return Choose<agent::v1::DiskFormat>(
      text, "disk format",
      {{"qcow2", agent::v1::DISK_FORMAT_QCOW2}, {"raw", agent::v1::DISK_FORMAT_RAW}});
}

absl::StatusOr<agent::v1::CdromBus> ParseCdromBus(std::string_view text) {
  return Choose<agent::v1::CdromBus>(text, "CD-ROM bus",
                                     {{"scsi", agent::v1::CDROM_BUS_SCSI},
                                      {"sata", agent::v1::CDROM_BUS_SATA},
                                      {"ide", agent::v1::CDROM_BUS_IDE}});
}

absl::StatusOr<agent::v1::Firmware> ParseFirmware(std::string_view text) {
  return Choose<agent::v1::Firmware>(
      text, "firmware", {{"bios", agent::v1::FIRMWARE_BIOS}, {"uefi", agent::v1::FIRMWARE_UEFI}});
}

absl::StatusOr<agent::v1::OsFamily> ParseOsFamily(std::string_view text) {
  return Choose<agent::v1::OsFamily>(
      text, "operating system",
      {{"linux", agent::v1::OS_FAMILY_LINUX}, {"windows", agent::v1::OS_FAMILY_WINDOWS}});
}

absl::StatusOr<agent::v1::MachineFamily> ParseMachineFamily(std::string_view text) {
  return Choose<agent::v1::MachineFamily>(
      text, "machine",
      {{"q35", agent::v1::MACHINE_FAMILY_Q35}, {"pc", agent::v1::MACHINE_FAMILY_PC}});
}

absl::StatusOr<agent::v1::StopMode> ParseStopMode(std::string_view text) {
  return Choose<agent::v1::StopMode>(text, "mode",
                                     {{"soft", agent::v1::STOP_MODE_SOFT},
                                      {"hard", agent::v1::STOP_MODE_HARD},
                                      {"soft-first", agent::v1::STOP_MODE_SOFT_FIRST}});
}

}  // namespace cvm::cli
