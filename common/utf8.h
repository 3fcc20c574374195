// SPDX-License-Identifier: Apache-2.0
//
// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cvm {

struct Utf8Character {
  char32_t code_point = 0;
  // Its bytes, 1 to 4.
  std::size_t length = 0;
};

// The first character of `text`, or nothing when it does not begin with one.
std::optional<Utf8Character> FirstUtf8Character(std::string_view text);

// The code points of `text`, or nothing when it is not well-formed UTF-8. A NUL byte is a valid
// code point here.
std::optional<std::u32string> DecodeUtf8(std::string_view text);

// Whether `text` is well-formed UTF-8.
bool IsUtf8(std::string_view text);

// Whether `text` holds a byte below 0x20 or 0x7f (tab and line breaks included).
bool HasControlCharacter(std::string_view text);

// Whether `text` is UTF-8 that every reader of our documents shows as one line: no control
// characters (C0, DEL, C1), no U+2028 or U+2029 (line breaks to YAML 1.1), no U+FFFE, U+FFFF or
// byte-order mark (which YAML readers refuse).
bool IsSingleLineText(std::string_view text);

}  // namespace cvm
