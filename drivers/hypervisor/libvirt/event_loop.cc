// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/event_loop.h"

#include <chrono>
#include <csignal>
#include <thread>

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "common/log.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"

namespace cvm::hypervisor {
namespace {

void RunEventLoop() {
  // Signals are for the threads that wait for them.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (true) {
    if (virEventRunDefaultImpl() < 0) {
      CVM_LOG_ERROR("libvirt's event loop failed: {}", virGetLastErrorMessage());
      // Without a pause a lasting failure would take a whole processor.
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }
}

// libvirt writes to its sockets without MSG_NOSIGNAL: a daemon that ends would end us as well. A
// handler of the program's own stays.
void IgnoreBrokenPipes() {
  struct sigaction action = {};
  if (sigaction(SIGPIPE, nullptr, &action) == 0 && action.sa_handler == SIG_DFL) {
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, nullptr);
  }
}

absl::Status StartEventLoop() {
  IgnoreBrokenPipes();
  if (virInitialize() < 0) return LastLibvirtError("initialise");
  // Errors are returned by the calls; libvirt would print them as well.
  virSetErrorFunc(nullptr, [](void*, virErrorPtr) {});
  if (virEventRegisterDefaultImpl() < 0) return LastLibvirtError("set up its event loop");
  std::thread(RunEventLoop).detach();
  return absl::OkStatus();
}

}  // namespace

absl::Status EnsureEventLoop() {
  static const absl::Status started = StartEventLoop();
  return started;
}

}  // namespace cvm::hypervisor
