// SPDX-License-Identifier: Apache-2.0
#include "common/utf8.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace cvm {
namespace {

TEST(Utf8Test, AcceptsWellFormedText) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("plain"));
  EXPECT_EQ(DecodeUtf8("\xc3\xa9\xe6\x97\xa5\xf0\x9f\x98\x80"), U"\u00e9\u65e5\U0001f600");
  EXPECT_EQ(DecodeUtf8("\xf4\x8f\xbf\xbf"), U"\U0010ffff");
}

TEST(Utf8Test, RefusesMalformedText) {
  for (const std::string& text : std::vector<std::string>{
           "\x80", "\xc3", "\xc3(", "\xe6\x97", "\xf0\x9f\x98", "\xc0\x80", "\xc1\xbf",
           "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xf4\x90\x80\x80",
           "\xf8\x88\x80\x80\x80", "\xff", "ok\xc3"}) {
    EXPECT_FALSE(IsUtf8(text));
  }
}

TEST(Utf8Test, SingleLineTextHoldsNothingThatBreaksALine) {
  EXPECT_TRUE(IsSingleLineText("caf\xc3\xa9 \xf0\x9f\x98\x80 \"quoted\" \\ <&>"));
  for (const std::string& text : std::vector<std::string>{
           "a\nb", "a\rb", "a\tb", std::string("a\0b", 3), "a\x7f", "a\x1b[2J", "\xc2\x85",
           "\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf", "\xef\xbf\xbe", "\xff"}) {
    EXPECT_FALSE(IsSingleLineText(text));
  }
}

TEST(Utf8Test, TheFirstCharacterHasItsLength) {
  const auto character = FirstUtf8Character("\xe6\x97\xa5x");
  ASSERT_TRUE(character.has_value());
  EXPECT_EQ(character->code_point, U'\u65e5');
  EXPECT_EQ(character->length, 3u);
  EXPECT_FALSE(FirstUtf8Character("").has_value());
  EXPECT_FALSE(FirstUtf8Character("\x97x").has_value());
}

TEST(Utf8Test, ControlCharactersAreThoseOfAscii) {
  EXPECT_TRUE(HasControlCharacter("a\tb"));
  EXPECT_TRUE(HasControlCharacter("a\x7f"));
  EXPECT_FALSE(HasControlCharacter("caf\xc3\xa9"));
}

}  // namespace
}  // namespace cvm
