// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/measure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cvm::bench {
namespace {

using ::testing::HasSubstr;

Measure Recorded(std::string& order, char side, absl::Duration took) {
  return [&order, side, took]() -> absl::StatusOr<Sample> {
    order += side;
    return Sample{took};
  };
}

TEST(TakePairs, AlternatesAndLeavesOutTheFirstRound) {
  std::string order;
  const auto pairs = TakePairs(3, Recorded(order, 'o', absl::Milliseconds(1)),
                               Recorded(order, 't', absl::Milliseconds(2)));
  ASSERT_TRUE(pairs.ok());
  EXPECT_EQ(order,
            "ottoot"
            "to");
  ASSERT_EQ(pairs->size(), 3u);
  EXPECT_EQ(pairs->at(1).ours, Sample{absl::Milliseconds(1)});
  EXPECT_EQ(pairs->at(1).theirs, Sample{absl::Milliseconds(2)});
}

TEST(TakePairs, StopsAtAnError) {
  int calls = 0;
  const Measure fails = [&]() -> absl::StatusOr<Sample> {
    if (++calls == 2) return absl::InternalError("gone");
    return Sample{absl::Milliseconds(1)};
  };
  std::string order;
  const auto pairs = TakePairs(20, Recorded(order, 'o', absl::Milliseconds(1)), fails);
  EXPECT_EQ(pairs.status(), absl::InternalError("gone"));
  EXPECT_EQ(calls, 2);
}

TEST(Quantile, InterpolatesBetweenUnsortedValues) {
  EXPECT_DOUBLE_EQ(Quantile({3, 1, 2}, 0.5), 2);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 2, 3}, 0.5), 2.5);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 2, 3}, 0), 1);
  EXPECT_DOUBLE_EQ(Quantile({4, 1, 2, 3}, 1), 4);
  EXPECT_DOUBLE_EQ(Quantile({7}, 0.99), 7);
}

// The ratio of the medians would be 2: pairs that a busy machine slowed down as a whole count once.
TEST(Summarize, TakesTheMedianOfTheRatios) {
  const auto ms = [](int64_t n) { return Sample{absl::Milliseconds(n)}; };
  const Summary summary = Summarize(
      {{ms(10), ms(10)}, {ms(20), ms(10)}, {ms(300), ms(300)}, {ms(11), ms(10)}, {ms(40), ms(5)}},
      0);
  EXPECT_DOUBLE_EQ(summary.ratio, 1.1);
  EXPECT_DOUBLE_EQ(summary.ratio_low, 1);
  EXPECT_DOUBLE_EQ(summary.ratio_high, 2);
  EXPECT_EQ(summary.ours, absl::Milliseconds(20));
  EXPECT_EQ(summary.theirs, absl::Milliseconds(10));
  EXPECT_EQ(summary.pairs, 5u);
}

TEST(FigureLine, SaysWhetherTheAimIsMet) {
  Figure figure{.name = "list", .value = 0.5, .unit = "ratio", .against = "libvirt", .aim = 1};
  EXPECT_EQ(FigureLine(figure),
            "BENCH name=list value=0.500 unit=ratio against=libvirt aim=1.000 verdict=met");
  figure.value = 1.0004;
  EXPECT_THAT(FigureLine(figure), HasSubstr("value=1.000 "));
  EXPECT_THAT(FigureLine(figure), HasSubstr("verdict=met"));
  figure.value = 1.0006;
  EXPECT_THAT(FigureLine(figure), HasSubstr("value=1.001 "));
  EXPECT_THAT(FigureLine(figure), HasSubstr("verdict=short"));
}

TEST(RatioReport, ShowsTheSpreadBelowTheLine) {
  const std::string report = RatioReport("list", "libvirt", 1.0,
                                         {.ratio = 2,
                                          .ratio_low = 1.5,
                                          .ratio_high = 2.25,
                                          .ours = absl::Milliseconds(4),
                                          .theirs = absl::Milliseconds(2),
                                          .pairs = 20});
  EXPECT_EQ(report,
            "BENCH name=list value=2.000 unit=ratio against=libvirt aim=1.000 verdict=short\n"
            "    20 pairs: the agent 4.000 ms, the other 2.000 ms; half of the ratios between "
            "1.500 and 2.250\n");
}

}  // namespace
}  // namespace cvm::bench
