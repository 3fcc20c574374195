// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "common/mutex.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::hypervisor {

// Keeps the promises of ConsoleHandler: one call at a time, on_closed once and last, and nothing
// once Detach() has returned. Thread-safe.
class ConsoleSink {
 public:
  explicit ConsoleSink(ConsoleHandler handler) : handler_(std::move(handler)) {}

  void Deliver(std::string_view output) CVM_EXCLUDES(mutex_);
  void Close(const absl::Status& reason) CVM_EXCLUDES(mutex_);
  // Waits for a call that is under way, except from within that call.
  void Detach() CVM_EXCLUDES(mutex_);

 private:
  // False when there is nobody to call any more.
  bool BeginCall(bool last) CVM_EXCLUDES(mutex_);
  void EndCall() CVM_EXCLUDES(mutex_);

  const ConsoleHandler handler_;
  Mutex mutex_;
  CondVar idle_;
  bool done_ CVM_GUARDED_BY(mutex_) = false;
  bool calling_ CVM_GUARDED_BY(mutex_) = false;
  std::thread::id caller_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::hypervisor
