// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace cvm::images {

// Reads what `qemu-img convert -p` prints, "    (12.34/100%)\r" again and again, in pieces cut
// anywhere, and reports the part done, from 0 to 1, never going back. Not thread-safe.
class ConvertProgress {
 public:
  explicit ConvertProgress(std::function<void(double fraction)> report)
      : report_(std::move(report)) {}

  void Feed(std::string_view piece);

 private:
  void Report(std::string_view text);

  std::function<void(double fraction)> report_;
  bool within_ = false;  // behind a "(" whose ")" is still to come
  std::string pending_;  // what has come since
  double last_ = -1;
};

}  // namespace cvm::images
