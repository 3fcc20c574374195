// SPDX-License-Identifier: Apache-2.0
#include "agent/core/stop_order.h"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "common/clock.h"

namespace cvm::agent::core {
namespace {

constexpr int kMaxOrder = 1000;

}  // namespace

int StopOrder(const v1::Instance& instance) {
  const auto it = instance.spec().tags().find(kStopOrderTag);
  if (it == instance.spec().tags().end()) return 0;
  const std::string& text = it->second;
  int order = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), order);
  const bool number = error == std::errc() && end == text.data() + text.size();
  return number && order >= -kMaxOrder && order <= kMaxOrder ? order : 0;
}

void SortForStop(std::vector<InstancePtr>& instances) {
  const auto key = [](const InstancePtr& instance) {
    return std::tuple(StopOrder(*instance),
                      -absl::ToUnixNanos(FromTimestamp(instance->create_time())), instance->id());
  };
  std::sort(instances.begin(), instances.end(),
            [&](const InstancePtr& a, const InstancePtr& b) { return key(a) < key(b); });
}

}  // namespace cvm::agent::core
