// SPDX-License-Identifier: Apache-2.0
#include "drivers/images/convert_progress.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::images {
namespace {

using testing::DoubleEq;
using testing::ElementsAre;
using testing::IsEmpty;

class ConvertProgressTest : public testing::Test {
 protected:
  std::vector<double> seen_;
  ConvertProgress progress_{[this](double fraction) { seen_.push_back(fraction); }};
};

TEST_F(ConvertProgressTest, ReadsEachEntry) {
  progress_.Feed("    (0.00/100%)\r    (50.25/100%)\r    (100.00/100%)\r\n");
  EXPECT_THAT(seen_, ElementsAre(DoubleEq(0), DoubleEq(0.5025), DoubleEq(1)));
}

TEST_F(ConvertProgressTest, ReadsEntriesCutAnywhere) {
  const std::string text = "    (12.34/100%)\r    (56.78/100%)\r";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    seen_.clear();
    ConvertProgress progress([this](double fraction) { seen_.push_back(fraction); });
    progress.Feed(text.substr(0, cut));
    progress.Feed(text.substr(cut));
    EXPECT_THAT(seen_, ElementsAre(DoubleEq(0.1234), DoubleEq(0.5678))) << cut;
  }
}

TEST_F(ConvertProgressTest, NeverGoesBackOrRepeats) {
  progress_.Feed("(20.00/100%)(10.00/100%)(20.00/100%)(30.00/100%)");
  EXPECT_THAT(seen_, ElementsAre(DoubleEq(0.2), DoubleEq(0.3)));
}

TEST_F(ConvertProgressTest, StaysWithinItsRange) {
  progress_.Feed("(-5.00/100%)(250.00/100%)");
  EXPECT_THAT(seen_, ElementsAre(DoubleEq(0), DoubleEq(1)));
}

TEST_F(ConvertProgressTest, IgnoresWhatIsNoProgress) {
  progress_.Feed("()(/100%)(x/100%)(nan/100%)(1.0x/100%)(50.00/99%)50.00/100%)((((");
  progress_.Feed("(" + std::string(1 << 20, '1') + "/100%)");
  EXPECT_THAT(seen_, IsEmpty());
}

TEST(ConvertProgress, WithoutListener) {
  ConvertProgress progress(nullptr);
  progress.Feed("(50.00/100%)");
}

}  // namespace
}  // namespace cvm::images
