// SPDX-License-Identifier: Apache-2.0
#include "drivers/images/convert_progress.h"

#include <algorithm>
#include <charconv>

namespace cvm::images {
namespace {

constexpr size_t kMaxPending = 64;  // an entry has 16 characters at most

}  // namespace

void ConvertProgress::Feed(std::string_view piece) {
  for (const char c : piece) {
    if (c == '(') {
      within_ = true;
      pending_.clear();
    } else if (c == ')') {
      if (within_) Report(pending_);
      within_ = false;
    } else if (within_) {
      pending_.push_back(c);
      within_ = pending_.size() <= kMaxPending;
    }
  }
}

void ConvertProgress::Report(std::string_view text) {
  constexpr std::string_view kOf = "/100%";
  if (!report_ || text.size() <= kOf.size() || text.substr(text.size() - kOf.size()) != kOf) return;
  text.remove_suffix(kOf.size());
  double percent = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
  if (error != std::errc() || end != text.data() + text.size()) return;
  const double fraction = std::clamp(percent / 100, 0.0, 1.0);
  if (!(fraction > last_)) return;
  last_ = fraction;
  report_(fraction);
}

}  // namespace cvm::images
