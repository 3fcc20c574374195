// SPDX-License-Identifier: Apache-2.0
//
// Two ways to the same end, measured in turn. On a machine that others use as well, seconds say
// little; the ratio within a pair, whose two sides ran one right after the other, says more.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cvm::bench {

// What one run of one side took: the same kinds of time from both sides, in the same order.
using Sample = std::vector<absl::Duration>;
using Measure = std::function<absl::StatusOr<Sample>()>;

struct Pair {
  Sample ours;
  Sample theirs;
};

// Runs both sides once without counting it, then `count` times; who goes first alternates.
// The first error ends it.
absl::StatusOr<std::vector<Pair>> TakePairs(size_t count, const Measure& ours,
                                            const Measure& theirs);

// The value below which the share `q` (0 to 1) of the values lies. `values` must not be empty.
double Quantile(std::vector<double> values, double q);
absl::Duration QuantileOf(const std::vector<absl::Duration>& durations, double q);

struct Summary {
  // Of ours to theirs, pair by pair: the median, and half of the pairs lie between the other two.
  double ratio = 0;
  double ratio_low = 0;
  double ratio_high = 0;
  // The medians.
  absl::Duration ours;
  absl::Duration theirs;
  size_t pairs = 0;
};

// Of the samples' times number `index`. `pairs` must not be empty.
Summary Summarize(const std::vector<Pair>& pairs, size_t index);

struct Figure {
  std::string name;
  double value = 0;
  std::string unit;
  std::string against;
  // The figure is met when it is at most this.
  double aim = 0;
};

// "BENCH name=… value=… unit=… against=… aim=… verdict=met|short": no field holds a blank. The
// verdict is about the value as it is printed.
std::string FigureLine(const Figure& figure);

// The line of a ratio, and below it the medians and the spread.
std::string RatioReport(std::string_view name, std::string_view against, double aim,
                        const Summary& summary);

}  // namespace cvm::bench
