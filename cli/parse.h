// SPDX-License-Identifier: Apache-2.0
//
// What people type, turned into what the API takes. Pure functions. Every error is
// InvalidArgument with a text that names what was typed and what would be right.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cvm/agent/v1/image.pb.h"
#include "cvm/agent/v1/instance.pb.h"
#include "cvm/agent/v1/instance_service.pb.h"

namespace cvm::cli {

// The units of sizes: what a number without a suffix means.
inline constexpr uint64_t kMib = uint64_t{1} << 20;
inline constexpr uint64_t kGib = uint64_t{1} << 30;

// "10G", "512M", "1T", "64K", also "10GiB" and "1.5G"; without a suffix in units of `unit` bytes.
// The answer is in bytes, a whole number of MiB and not 0.
absl::StatusOr<uint64_t> ParseSize(std::string_view text, uint64_t unit);

// Like ParseSize, of bytes: any whole number, 0 too.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// "90s", "5m", "1h30m"; a bare number is seconds. Not negative, at most 1000 hours.
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// "key=value"; the value may be empty and may hold '='.
absl::StatusOr<std::pair<std::string, std::string>> ParseTag(std::string_view text);

// "network=default,ip=192.0.2.10,mac=52:54:00:00:00:01,ipv6=2001:db8::5/64,id=eni-..."; each part
// may be left out, ipv6 may come again. Only the shape is checked: the agent knows its networks.
absl::StatusOr<agent::v1::NicSpec> ParseNic(std::string_view text);

// "5", "10G" or "10G,id=disk-...".
absl::StatusOr<agent::v1::DiskSpec> ParseDataDisk(std::string_view text);

// The keys of a file in the form of authorized_keys: one a line, without empty lines and comments.
// Never empty.
absl::StatusOr<std::vector<std::string>> ParseKeyLines(std::string_view content);
// Whether `text` is a public key itself rather than the name of a file with some.
bool IsPublicKey(std::string_view text);

// The first line of a password hash file. Refuses what is not in crypt(5) form, so that a file with
// a clear password in it is not sent by mistake.
absl::StatusOr<std::string> ParsePasswordHash(std::string_view content);

// A gRPC target for "HOST:PORT" or "[ADDRESS]:PORT": only loopback, since there is no encryption.
absl::StatusOr<std::string> ParseLoopbackAddress(std::string_view text);

absl::StatusOr<agent::v1::DiskFormat> ParseDiskFormat(std::string_view text);
absl::StatusOr<agent::v1::CdromBus> ParseCdromBus(std::string_view text);
absl::StatusOr<agent::v1::Firmware> ParseFirmware(std::string_view text);
absl::StatusOr<agent::v1::OsFamily> ParseOsFamily(std::string_view text);
absl::StatusOr<agent::v1::MachineFamily> ParseMachineFamily(std::string_view text);
absl::StatusOr<agent::v1::StopMode> ParseStopMode(std::string_view text);

}  // namespace cvm::cli
