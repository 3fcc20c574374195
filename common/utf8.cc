// SPDX-License-Identifier: Apache-2.0
#include "common/utf8.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace cvm {
namespace {

// What a lead byte announces: the bytes that follow it, its own payload bits, and the smallest code
// point that may take this many bytes (a smaller one is an overlong form).
struct Lead {
  std::size_t following;
  char32_t bits;
  char32_t smallest;
};

std::optional<Lead> ClassifyLead(std::uint8_t byte) {
  if (byte < 0x80) return Lead{0, byte, 0};
  if ((byte & 0xe0U) == 0xc0) return Lead{1, byte & 0x1fU, 0x80};
  if ((byte & 0xf0U) == 0xe0) return Lead{2, byte & 0x0fU, 0x800};
  if ((byte & 0xf8U) == 0xf0) return Lead{3, byte & 0x07U, 0x10000};
  return std::nullopt;
}

}  // namespace

std::optional<Utf8Character> FirstUtf8Character(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto lead = ClassifyLead(static_cast<std::uint8_t>(text[0]));
  if (!lead.has_value() || text.size() <= lead->following) return std::nullopt;
  char32_t code_point = lead->bits;
  for (std::size_t i = 1; i <= lead->following; ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    if ((byte & 0xc0U) != 0x80) return std::nullopt;
    code_point = (code_point << 6U) | (byte & 0x3fU);
  }
  const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (code_point < lead->smallest || code_point > 0x10ffff || surrogate) return std::nullopt;
  return Utf8Character{code_point, lead->following + 1};
}

std::optional<std::u32string> DecodeUtf8(std::string_view text) {
  std::u32string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const std::optional<Utf8Character> character = FirstUtf8Character(text);
    if (!character.has_value()) return std::nullopt;
    out.push_back(character->code_point);
    text.remove_prefix(character->length);
  }
  return out;
}

bool IsUtf8(std::string_view text) { return DecodeUtf8(text).has_value(); }

bool HasControlCharacter(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    const auto byte = static_cast<std::uint8_t>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}

bool IsSingleLineText(std::string_view text) {
  const std::optional<std::u32string> code_points = DecodeUtf8(text);
  if (!code_points.has_value()) return false;
  return std::none_of(code_points->begin(), code_points->end(), [](char32_t c) {
    const bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
    const bool line_break = c == 0x2028 || c == 0x2029;
    return control || line_break || c == 0xfeff || c == 0xfffe || c == 0xffff;
  });
}

}  // namespace cvm
