// SPDX-License-Identifier: Apache-2.0
#include "agent/core/crash_points.h"

#if CVM_TEST_HOOKS
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#endif

namespace cvm::agent::core {

#if CVM_TEST_HOOKS
CrashHook CrashHookFromEnvironment() {
  const char* crash_at = std::getenv("CVM_CRASH_AT");
  const char* trace = std::getenv("CVM_CRASH_TRACE");
  if (crash_at == nullptr && trace == nullptr) return nullptr;
  return [crash_at = std::string(crash_at == nullptr ? "" : crash_at),
          trace = std::string(trace == nullptr ? "" : trace)](const CrashSite& site) {
    const std::string name = site.ToString();
    if (!trace.empty()) {
      const int fd = open(trace.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
      const std::string line = name + "\n";
      if (fd < 0 || write(fd, line.data(), line.size()) < 0) abort();
      close(fd);
    }
    if (name == crash_at) kill(getpid(), SIGKILL);
    return false;
  };
}
#else
CrashHook CrashHookFromEnvironment() { return nullptr; }
#endif

}  // namespace cvm::agent::core
