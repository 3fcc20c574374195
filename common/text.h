// SPDX-License-Identifier: Apache-2.0
//
// Text that came from a client, a guest or a program, made fit for people and for protobuf.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cvm {

enum class LineBreaks { kKeep, kEscape };

// Valid UTF-8 without control characters: a byte that is not UTF-8 and a control character (C0,
// DEL, C1) become "\xNN", a line separator U+2028 or U+2029 becomes "\u2028". kKeep lets '\n' and
// '\t' pass. A text that is already fit comes back as it is.
std::string PrintableText(std::string_view text, LineBreaks line_breaks);

// At most `max_bytes` of `text`, cut between UTF-8 characters; what was cut ends in "...", which
// counts. `text` must be valid UTF-8 for the result to be. `max_bytes` is at least 3.
std::string ClipText(std::string_view text, size_t max_bytes);

}  // namespace cvm
