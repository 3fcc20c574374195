// SPDX-License-Identifier: Apache-2.0
//
// How a test talks to faults.cc: this lies in a file that both map (CVM_FAULT_CONTROL), all zeros
// at first. tests/harness/faults.py knows the same layout.
#pragma once

#include <atomic>
#include <cstdint>

namespace cvm::faults {

struct Control {
  // Writes so far, since a test last set it to 0.
  std::atomic<uint64_t> calls;
  // The number of the first write that fails, from 1; 0: none.
  std::atomic<uint64_t> fail_at;
  // How many writes fail, one after the other.
  std::atomic<uint64_t> fail_count;
  std::atomic<uint64_t> failed;
  // Not 0: changes and syncs are written down.
  std::atomic<uint64_t> trace;
  // The call that failed last, for people.
  char last[472];
};
static_assert(sizeof(Control) == 512);

}  // namespace cvm::faults
