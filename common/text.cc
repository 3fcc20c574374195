// SPDX-License-Identifier: Apache-2.0
#include "common/text.h"

#include <cstdint>
#include <iterator>
#include <optional>

#include "common/utf8.h"
#include "fmt/format.h"

namespace cvm {

std::string PrintableText(std::string_view text, LineBreaks line_breaks) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::optional<Utf8Character> character = FirstUtf8Character(text);
    if (!character) {
      fmt::format_to(std::back_inserter(result), "\\x{:02x}", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    const auto code_point = static_cast<uint32_t>(character->code_point);
    const bool kept_break =
        line_breaks == LineBreaks::kKeep && (code_point == '\n' || code_point == '\t');
    if (!kept_break && (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0))) {
      fmt::format_to(std::back_inserter(result), "\\x{:02x}", code_point);
    } else if (code_point == 0x2028 || code_point == 0x2029) {
      fmt::format_to(std::back_inserter(result), "\\u{:04x}", code_point);
    } else {
      result.append(text.substr(0, character->length));
    }
    text.remove_prefix(character->length);
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
