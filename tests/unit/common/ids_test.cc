// SPDX-License-Identifier: Apache-2.0
#include "common/ids.h"

#include <set>
#include <string>

#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

// Gives 0xff, which MakeId must throw away, before each of 0, 1, 2, ...
class AlternatingRandom final : public Random {
 public:
  void Fill(void* data, size_t size) override {
    auto* bytes = static_cast<unsigned char*>(data);
    for (size_t i = 0; i < size; ++i) bytes[i] = odd_ ? next_++ : 0xff, odd_ = !odd_;
  }

 private:
  bool odd_ = false;
  unsigned char next_ = 0;
};

TEST(Ids, HaveTheirForm) {
  Random& random = Random::Secure();
  for (int i = 0; i < 40; ++i) {
    EXPECT_THAT(MakeId(kInstancePrefix, random), MatchesRegex("ins-[a-z0-9]{8}"));
    EXPECT_THAT(MakeUuid(random), MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]"
                                               "[0-9a-f]{3}-[0-9a-f]{12}"));
    EXPECT_THAT(MakeMac(random), MatchesRegex("52:54:00(:[0-9a-f]{2}){3}"));
  }
}

TEST(Ids, AreDistinct) {
  std::set<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(MakeId("op", Random::Secure()));
  EXPECT_EQ(ids.size(), 1000u);
}

TEST(Ids, UseEveryCharacterEquallyOften) {
  const std::unique_ptr<Random> random = MakeSeededRandom(1);
  std::map<char, int> counts;
  constexpr int kIds = 9000;
  for (int i = 0; i < kIds; ++i) {
    for (const char c : MakeId("x", *random).substr(2)) ++counts[c];
  }
  // 2000 of each are expected; the standard deviation is 44.
  EXPECT_EQ(counts.size(), 36u);
  for (const auto& [c, count] : counts) EXPECT_NEAR(count, 2000, 250) << c;
}

TEST(Ids, BytesThatWouldBeUnfairAreThrownAway) {
  AlternatingRandom random;
  EXPECT_EQ(MakeId("ins", random), "ins-abcdefgh");
}

TEST(Ids, SeededRandomRepeats) {
  EXPECT_EQ(MakeUuid(*MakeSeededRandom(7)), MakeUuid(*MakeSeededRandom(7)));
  EXPECT_NE(MakeUuid(*MakeSeededRandom(7)), MakeUuid(*MakeSeededRandom(8)));
  const std::unique_ptr<Random> random = MakeSeededRandom(7);
  EXPECT_NE(MakeUuid(*random), MakeUuid(*random));
}

TEST(Ids, IsIdTellsGoodFromBad) {
  EXPECT_TRUE(IsId("ins", "ins-1a2b3c4d"));
  EXPECT_TRUE(IsId("ins", "ins-zzzzzzzz"));
  for (const std::string& bad :
       {std::string(""), std::string("ins-"), std::string("ins-1a2b3c4"),
        std::string("ins-1a2b3c4d5"), std::string("ins-1A2b3c4d"), std::string("img-1a2b3c4d"),
        std::string("ins_1a2b3c4d"), std::string("ins-1a2b3c4 "), std::string("ins-1a2b3c4\0", 12),
        std::string("ins-../../.."), std::string("1a2b3c4d")}) {
    EXPECT_FALSE(IsId("ins", bad)) << bad;
  }
}

TEST(Ids, CheckIdSaysWhatIsWrong) {
  EXPECT_TRUE(CheckId("id", "ins", "ins-1a2b3c4d").ok());
  EXPECT_EQ(ReasonOf(CheckId("id", "ins", "")), common::v1::ERROR_REASON_MISSING_FIELD);
  const absl::Status status =
      CheckId("spec.image_id", "img", "ins-<&\x01\xff" + std::string(999, 'x'));
  EXPECT_EQ(ReasonOf(status), common::v1::ERROR_REASON_MALFORMED_ID);
  EXPECT_EQ(ErrorInfoOf(status)->metadata().at("field"), "spec.image_id");
  EXPECT_THAT(std::string(status.message()), HasSubstr("'ins-<&\\x01\\xff"));
  EXPECT_LT(status.message().size(), 250u);
}

TEST(Ids, RequestIds) {
  EXPECT_TRUE(CheckRequestId("a").ok());
  EXPECT_TRUE(CheckRequestId(" ~").ok());
  EXPECT_TRUE(CheckRequestId(std::string(64, 'x')).ok());
  for (const std::string& bad :
       {std::string(""), std::string(65, 'x'), std::string("a\n"), std::string("\x7f"),
        std::string("\u00e9"), std::string(1, '\0')}) {
    const absl::Status status = CheckRequestId(bad);
    EXPECT_EQ(ReasonOf(status), common::v1::ERROR_REASON_INVALID_FIELD) << bad;
    EXPECT_EQ(ErrorInfoOf(status)->metadata().at("field"), "request_id");
  }
}

}  // namespace
}  // namespace cvm
