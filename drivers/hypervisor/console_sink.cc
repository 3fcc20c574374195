// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/console_sink.h"

namespace cvm::hypervisor {

void ConsoleSink::Deliver(std::string_view output) {
  if (output.empty() || !BeginCall(false)) return;
  if (handler_.on_output) handler_.on_output(output);
  EndCall();
}

void ConsoleSink::Close(const absl::Status& reason) {
  if (!BeginCall(true)) return;
  if (handler_.on_closed) handler_.on_closed(reason);
  EndCall();
}

void ConsoleSink::Detach() {
  MutexLock lock(mutex_);
  done_ = true;
  while (calling_ && caller_ != std::this_thread::get_id()) idle_.Wait(mutex_);
}

bool ConsoleSink::BeginCall(bool last) {
  MutexLock lock(mutex_);
  while (calling_) idle_.Wait(mutex_);
  if (done_) return false;
  done_ = last;
  calling_ = true;
  caller_ = std::this_thread::get_id();
  return true;
}

void ConsoleSink::EndCall() {
  MutexLock lock(mutex_);
  calling_ = false;
  idle_.NotifyAll();
}

}  // namespace cvm::hypervisor
