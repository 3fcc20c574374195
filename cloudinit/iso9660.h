// SPDX-License-Identifier: Apache-2.0
//
// Writes an ISO 9660 image with Joliet names and Rock Ridge attributes, in memory.
//
// Why our own: the config drive needs the volume label "config-2" exactly (lower case, a dash: not
// legal d-characters, which libraries therefore rewrite to CONFIG_2), and the same input must give
// the same bytes so that an image can be rebuilt and compared.
//
// The image holds a primary volume (ECMA-119 level 1 names, made unique, with Rock Ridge RRIP_1991A
// entries that carry the real name, mode and time) and a Joliet volume (UCS-2 names of up to 62
// characters for files and 64 for directories; longer names are cut and made unique, keeping the
// extension; characters that Joliet forbids become '_'). Both point to the same file data.
#pragma once

#include <absl/status/statusor.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cvm::cloudinit {

// Limits that WriteIso enforces.
inline constexpr std::size_t kIsoMaxLabelLength = 32;
inline constexpr std::size_t kIsoMaxJolietLabelLength = 16;
// One path component. The formats could hold more, but Linux cuts Rock Ridge names above this.
inline constexpr std::size_t kIsoMaxNameBytes = 253;
// Directories above a file. ECMA-119 6.8.2.1 allows eight levels and counts the root as the first.
inline constexpr std::size_t kIsoMaxDirectoryDepth = 7;
inline constexpr std::size_t kIsoMaxFiles = 4096;
inline constexpr std::size_t kIsoMaxFileBytes = std::size_t{64} << 20U;
inline constexpr std::size_t kIsoMaxTotalBytes = std::size_t{256} << 20U;

struct IsoFile {
  // Relative, '/' between components, e.g. "openstack/latest/meta_data.json". UTF-8 without control
  // characters. Its directories are made as needed (mode 0555); a directory without a file beneath
  // it cannot be expressed.
  std::string path;
  std::string content;
  // Permission bits, at most 0777. Owner and group are 0.
  std::uint32_t mode = 0444;
};

struct IsoOptions {
  // 1..32 printable ASCII characters that neither begin nor end with a space; written exactly as
  // given. The Joliet descriptor has room for 16 characters and holds the first 16.
  std::string volume_label;
  // The time of every file, directory and volume: fixed by the caller, never "now". UTC, from
  // 1970-01-01 up to the end of 2155 (what the format can hold).
  std::chrono::sys_seconds mtime;
};

// The bytes of the image, a multiple of 2048. The order of `files` does not matter; the same
// options and files give the same bytes. Pure and thread-safe.
//
// Fails with InvalidArgument, naming the path or the field, for: no files or too many; a path that
// is empty, absolute, has an empty, '.' or '..' component, a control character (NUL included) or is
// not UTF-8; a component or a nesting that is too long; two files of one path; a path that is both
// a file and a directory; a mode above 0777; contents above the limits; a bad label or time.
absl::StatusOr<std::string> WriteIso(const IsoOptions& options, std::vector<IsoFile> files);

}  // namespace cvm::cloudinit
