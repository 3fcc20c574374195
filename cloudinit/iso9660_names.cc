// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "common/utf8.h"

namespace cvm::cloudinit::iso {
namespace {

constexpr std::size_t kPrimaryStem = 8;
constexpr std::size_t kPrimaryExtension = 3;
constexpr std::size_t kJolietDirectory = 64;
constexpr std::size_t kJolietFile = 62;  // ";1" takes the other two
// An extension longer than this is not one that a reader looks at: cut the name as a whole.
constexpr std::size_t kJolietExtension = 16;

// Splits at the last dot; a dot in front (".profile") starts no extension.
template <typename String>
std::pair<String, String> SplitExtension(const String& name) {
  const auto dot = name.rfind(typename String::value_type{'.'});
  if (dot == String::npos || dot == 0) return {name, String()};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

std::string Mangle(std::string_view text, std::size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) {
    const bool lower = c >= 'a' && c <= 'z';
    const bool kept = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += lower ? static_cast<char>(c - 'a' + 'A') : kept ? c : '_';
  }
  return out;
}

// The names of one directory that are taken, and for each name that was wanted more than once the
// number to try next (so that thousands of equal beginnings do not take quadratic time).
template <typename String>
struct Taken {
  std::set<String> names;
  std::map<String, std::size_t> next;
};

std::string PrimaryIdentifier(const NamedEntry& entry, Taken<std::string>& taken) {
  std::string stem(entry.name);
  std::string extension;
  if (!entry.is_directory) std::tie(stem, extension) = SplitExtension(stem);
  stem = Mangle(stem, kPrimaryStem);
  extension = Mangle(extension, kPrimaryExtension);
  // Uniqueness is asked of stem and extension together; a directory "A" and a file "A.;1" would
  // differ as bytes but not to a reader that strips the version.
  std::string candidate = stem;
  std::size_t& number = taken.next[stem + "." + extension];
  while (!taken.names.insert(candidate + "." + extension).second) {
    const std::string suffix = fmt::format("{}", number++);
    candidate = stem.substr(0, kPrimaryStem - suffix.size()) + suffix;
  }
  return entry.is_directory ? candidate : candidate + "." + extension + ";1";
}

std::u32string JolietClean(std::string_view name) {
  // Names were checked to be UTF-8 when the tree was built.
  std::u32string out = DecodeUtf8(name).value_or(std::u32string());
  for (char32_t& c : out) {
    const bool forbidden = c < 0x20 || std::u32string_view(U"*/:;?\\").find(c) != std::string::npos;
    if (forbidden || c > 0xffff) c = U'_';
  }
  // Readers drop a dot at the end, which would make "a." and "a" one name.
  if (!out.empty() && out.back() == U'.') out.back() = U'_';
  return out;
}

std::string Ucs2(std::u32string_view text) {
  std::string out;
  for (const char32_t c : text) {
    out += static_cast<char>(static_cast<std::uint8_t>(c >> 8U));
    out += static_cast<char>(static_cast<std::uint8_t>(c & 0xffU));
  }
  return out;
}

// Readers of Joliet (Windows, and Linux by default) look names up without regard to case, so names
// that differ in case alone must be told apart.
std::u32string FoldCase(std::u32string text) {
  for (char32_t& c : text) {
    if (c >= U'A' && c <= U'Z') c += U'a' - U'A';
  }
  return text;
}

std::string JolietIdentifier(const NamedEntry& entry, Taken<std::u32string>& taken) {
  const std::u32string name = JolietClean(entry.name);
  const std::size_t limit = entry.is_directory ? kJolietDirectory : kJolietFile;
  std::u32string stem = name;
  std::u32string extension;
  if (!entry.is_directory) {
    std::tie(stem, extension) = SplitExtension(name);
    if (extension.size() > kJolietExtension) {
      stem = name;
      extension.clear();
    } else if (name.size() > stem.size()) {
      extension.insert(0, U".");
    }
  }
  std::u32string candidate = stem.substr(0, limit - extension.size()) + extension;
  std::size_t& number = taken.next[FoldCase(candidate)];
  while (!taken.names.insert(FoldCase(candidate)).second) {
    std::u32string suffix = U"_";
    for (const char digit : fmt::format("{}", ++number)) suffix += static_cast<char32_t>(digit);
    candidate = stem.substr(0, limit - extension.size() - suffix.size()) + suffix + extension;
  }
  if (!entry.is_directory) candidate += U";1";
  return Ucs2(candidate);
}

// Compares as if the shorter were filled up with `pad`.
int ComparePadded(std::string_view a, std::string_view b, std::uint8_t pad) {
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::uint8_t x = i < a.size() ? static_cast<std::uint8_t>(a[i]) : pad;
    const std::uint8_t y = i < b.size() ? static_cast<std::uint8_t>(b[i]) : pad;
    if (x != y) return x < y ? -1 : 1;
  }
  return 0;
}

// The name and the extension of a Joliet identifier, without the version.
std::pair<std::string_view, std::string_view> SplitJoliet(std::string_view identifier) {
  constexpr std::string_view kVersion("\0;\0001", 4);
  if (identifier.size() > kVersion.size() && identifier.ends_with(kVersion)) {
    identifier.remove_suffix(kVersion.size());
  }
  for (std::size_t i = identifier.size(); i >= 2; i -= 2) {
    if (identifier.substr(i - 2, 2) == std::string_view("\0.", 2)) {
      return {identifier.substr(0, i - 2), identifier.substr(i)};
    }
  }
  return {identifier, {}};
}

}  // namespace

std::vector<std::string> PrimaryIdentifiers(const std::vector<NamedEntry>& entries) {
  Taken<std::string> taken;
  std::vector<std::string> out;
  out.reserve(entries.size());
  for (const NamedEntry& entry : entries) out.push_back(PrimaryIdentifier(entry, taken));
  return out;
}

std::vector<std::string> JolietIdentifiers(const std::vector<NamedEntry>& entries) {
  Taken<std::u32string> taken;
  std::vector<std::string> out;
  out.reserve(entries.size());
  for (const NamedEntry& entry : entries) out.push_back(JolietIdentifier(entry, taken));
  return out;
}

bool PrimaryBefore(std::string_view a, std::string_view b) {
  const auto split = [](std::string_view s) { return SplitExtension(s.substr(0, s.find(';'))); };
  const auto [a_stem, a_extension] = split(a);
  const auto [b_stem, b_extension] = split(b);
  const int by_stem = ComparePadded(a_stem, b_stem, ' ');
  if (by_stem != 0) return by_stem < 0;
  return ComparePadded(a_extension, b_extension, ' ') < 0;
}

bool JolietBefore(std::string_view a, std::string_view b) {
  const auto [a_stem, a_extension] = SplitJoliet(a);
  const auto [b_stem, b_extension] = SplitJoliet(b);
  const int by_stem = ComparePadded(a_stem, b_stem, 0);
  if (by_stem != 0) return by_stem < 0;
  return ComparePadded(a_extension, b_extension, 0) < 0;
}

}  // namespace cvm::cloudinit::iso
