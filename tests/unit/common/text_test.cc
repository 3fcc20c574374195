// SPDX-License-Identifier: Apache-2.0
#include "common/text.h"

#include "gtest/gtest.h"

namespace cvm {
namespace {

using std::string_view_literals::operator""sv;

std::string OneLine(std::string_view text) { return PrintableText(text, LineBreaks::kEscape); }

TEST(PrintableText, LeavesGoodTextAlone) {
  EXPECT_EQ(OneLine(""), "");
  EXPECT_EQ(OneLine("a ~"), "a ~");
  EXPECT_EQ(OneLine("\u00e9\u4e2d\U0001f600"), "\u00e9\u4e2d\U0001f600");
  EXPECT_EQ(OneLine("\u00a0\ud7ff\ue000\U0010ffff"), "\u00a0\ud7ff\ue000\U0010ffff");
}

TEST(PrintableText, EscapesControlCharacters) {
  EXPECT_EQ(OneLine("a\0b\x1b[31m\x7f"sv), "a\\x00b\\x1b[31m\\x7f");
  // U+009B starts a terminal's control sequence, too.
  EXPECT_EQ(OneLine("\u0080\u009b\u009f"), "\\x80\\x9b\\x9f");
  EXPECT_EQ(OneLine("a\u2028b\u2029"), "a\\u2028b\\u2029");
}

TEST(PrintableText, KeepsLineBreaksWhenAsked) {
  EXPECT_EQ(OneLine("a\n\tb\r"), "a\\x0a\\x09b\\x0d");
  EXPECT_EQ(PrintableText("a\n\tb\r", LineBreaks::kKeep), "a\n\tb\\x0d");
}

TEST(PrintableText, EscapesWhatIsNotUtf8) {
  EXPECT_EQ(OneLine("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(OneLine("\xc3"), "\\xc3");
  EXPECT_EQ(OneLine("\xc3("), "\\xc3(");
  EXPECT_EQ(OneLine("\xe4\xb8"), "\\xe4\\xb8");
  EXPECT_EQ(OneLine("\x80z"), "\\x80z");
  // Overlong forms of '/' and NUL, a surrogate, and beyond the last code point.
  EXPECT_EQ(OneLine("\xc0\xaf"), "\\xc0\\xaf");
  EXPECT_EQ(OneLine("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");
  EXPECT_EQ(OneLine("\xf0\x80\x80\x80"), "\\xf0\\x80\\x80\\x80");
  EXPECT_EQ(OneLine("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(OneLine("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(ClipText, CutsBetweenCharacters) {
  EXPECT_EQ(ClipText("abcdef", 6), "abcdef");
  EXPECT_EQ(ClipText("abcdefg", 6), "abc...");
  EXPECT_EQ(ClipText("ab\u4e2d\u4e2d", 7), "ab...");
  EXPECT_EQ(ClipText("\u4e2d\u4e2d\u4e2d", 6), "\u4e2d...");
  EXPECT_EQ(ClipText("abcdef", 3), "...");
}

}  // namespace
}  // namespace cvm
