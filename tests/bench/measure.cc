// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/measure.h"

#include <algorithm>
#include <cmath>

#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::bench {
namespace {

double ToMs(absl::Duration duration) { return absl::ToDoubleMilliseconds(duration); }

double Rounded(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

absl::StatusOr<std::vector<Pair>> TakePairs(size_t count, const Measure& ours,
                                            const Measure& theirs) {
  std::vector<Pair> pairs;
  // The first round fills caches on both sides.
  for (size_t round = 0; round <= count; ++round) {
    Pair pair;
    if (round % 2 == 0) {
      CVM_ASSIGN_OR_RETURN(pair.ours, ours());
      CVM_ASSIGN_OR_RETURN(pair.theirs, theirs());
    } else {
      CVM_ASSIGN_OR_RETURN(pair.theirs, theirs());
      CVM_ASSIGN_OR_RETURN(pair.ours, ours());
    }
    if (round > 0) pairs.push_back(std::move(pair));
  }
  return pairs;
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  const double position = q * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, values.size() - 1);
  return std::lerp(values[below], values[above], position - static_cast<double>(below));
}

absl::Duration QuantileOf(const std::vector<absl::Duration>& durations, double q) {
  std::vector<double> values;
  values.reserve(durations.size());
  for (const absl::Duration duration : durations) values.push_back(ToMs(duration));
  return absl::Milliseconds(Quantile(std::move(values), q));
}

Summary Summarize(const std::vector<Pair>& pairs, size_t index) {
  std::vector<double> ratios;
  std::vector<absl::Duration> ours;
  std::vector<absl::Duration> theirs;
  for (const Pair& pair : pairs) {
    ours.push_back(pair.ours[index]);
    theirs.push_back(pair.theirs[index]);
    ratios.push_back(absl::FDivDuration(pair.ours[index], pair.theirs[index]));
  }
  return {.ratio = Quantile(ratios, 0.5),
          .ratio_low = Quantile(ratios, 0.25),
          .ratio_high = Quantile(ratios, 0.75),
          .ours = QuantileOf(ours, 0.5),
          .theirs = QuantileOf(theirs, 0.5),
          .pairs = pairs.size()};
}

std::string FigureLine(const Figure& figure) {
  return fmt::format("BENCH name={} value={:.3f} unit={} against={} aim={:.3f} verdict={}",
                     figure.name, figure.value, figure.unit, figure.against, figure.aim,
                     Rounded(figure.value) <= Rounded(figure.aim) ? "met" : "short");
}

std::string RatioReport(std::string_view name, std::string_view against, double aim,
                        const Summary& summary) {
  const std::string line = FigureLine({.name = std::string(name),
                                       .value = summary.ratio,
                                       .unit = "ratio",
                                       .against = std::string(against),
                                       .aim = aim});
  return fmt::format(
      "{}\n    {} pairs: the agent {:.3f} ms, the other {:.3f} ms; half of the ratios between "
      "{:.3f} and {:.3f}\n",
      line, summary.pairs, ToMs(summary.ours), ToMs(summary.theirs), summary.ratio_low,
      summary.ratio_high);
}

}  // namespace cvm::bench
