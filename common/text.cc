// SPDX-License-Identifier: Apache-2.0
#include "common/text.h"

#include <cstdint>
#include <iterator>

#include "fmt/format.h"

namespace cvm {
namespace {

struct Character {
  uint32_t code_point = 0;
  // 0 when the bytes are not UTF-8.
  size_t length = 0;
};

// The first character of a text that is not empty. Overlong forms, surrogates and code points
// beyond U+10FFFF are not UTF-8.
Character Decode(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  size_t length = 0;
  uint32_t code_point = 0;
  uint32_t smallest = 0;
  if ((lead & 0xe0) == 0xc0) {
    length = 2;
    code_point = lead & 0x1f;
    smallest = 0x80;
  } else if ((lead & 0xf0) == 0xe0) {
    length = 3;
    code_point = lead & 0x0f;
    smallest = 0x800;
  } else if ((lead & 0xf8) == 0xf0) {
    length = 4;
    code_point = lead & 0x07;
    smallest = 0x10000;
  }
  if (length == 0 || text.size() < length) return {};
  for (size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xc0) != 0x80) return {};
    code_point = (code_point << 6) | (next & 0x3f);
  }
  const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (code_point < smallest || code_point > 0x10ffff || surrogate) return {};
  return {code_point, length};
}

}  // namespace

std::string PrintableText(std::string_view text, LineBreaks line_breaks) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Character character = Decode(text);
    const uint32_t code_point = character.code_point;
    const bool kept_break =
        line_breaks == LineBreaks::kKeep && (code_point == '\n' || code_point == '\t');
    if (character.length == 0) {
      fmt::format_to(std::back_inserter(result), "\\x{:02x}", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    if (!kept_break && (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0))) {
      fmt::format_to(std::back_inserter(result), "\\x{:02x}", code_point);
    } else if (code_point == 0x2028 || code_point == 0x2029) {
      fmt::format_to(std::back_inserter(result), "\\u{:04x}", code_point);
    } else {
      result.append(text.substr(0, character.length));
    }
    text.remove_prefix(character.length);
  }
  return result;
}

std::string ClipText(std::string_view text, size_t max_bytes) {
  constexpr std::string_view kMark = "...";
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes < kMark.size() ? 0 : max_bytes - kMark.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return std::string(text.substr(0, end)).append(kMark);
}

}  // namespace cvm
