// SPDX-License-Identifier: Apache-2.0
//
// Reads an image back and checks, on the way, what ECMA-119, Joliet and SUSP demand of every
// record. Written against the specifications and not against the writer: it shares no code with it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cvm::cloudinit::testing {

struct InspectedEntry {
  bool is_directory = false;
  std::uint32_t extent = 0;
  std::uint32_t bytes = 0;
  std::string content;     // of a file
  std::string rock_name;   // Rock Ridge name, as one string
  std::uint32_t mode = 0;  // with the type bits; 0 without Rock Ridge
  std::uint32_t links = 0;
};

struct InspectedVolume {
  std::string label;
  // By path of identifiers as they are on the disc ("OPENSTAC/LATEST/META_DAT.JSO;1"; Joliet ones
  // as UTF-8).
  std::map<std::string, InspectedEntry> by_identifier;
  // By path of Rock Ridge names; primary volume only.
  std::map<std::string, InspectedEntry> by_name;
};

struct InspectedImage {
  InspectedVolume primary;
  InspectedVolume joliet;
  std::vector<std::string> faults;  // everything that breaks a rule; empty for a good image
};

InspectedImage Inspect(std::string_view image);

}  // namespace cvm::cloudinit::testing
