// SPDX-License-Identifier: Apache-2.0
//
// The identifiers that ISO 9660 and Joliet give to real names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cvm::cloudinit::iso {

// One entry of a directory whose real name is to be turned into an identifier.
struct NamedEntry {
  std::string_view name;  // UTF-8
  bool is_directory = false;
};

// Identifiers, as the bytes of a directory record, for all entries of one directory: same order as
// `entries`, all different, and a function of the set of names only when `entries` is sorted.
//
// Level 1 of ECMA-119: eight and three of [A-Z0-9_], files with ".EXT;1", directories without.
std::vector<std::string> PrimaryIdentifiers(const std::vector<NamedEntry>& entries);

// Joliet: UCS-2 big-endian, at most 128 bytes with the ";1" of a file; different also without
// regard to the case of ASCII letters.
std::vector<std::string> JolietIdentifiers(const std::vector<NamedEntry>& entries);

// Whether `a` comes before `b` in a directory (ECMA-119 9.3: name, then extension, each padded on
// the right with spaces, or with zeros in Joliet).
bool PrimaryBefore(std::string_view a, std::string_view b);
bool JolietBefore(std::string_view a, std::string_view b);

}  // namespace cvm::cloudinit::iso
