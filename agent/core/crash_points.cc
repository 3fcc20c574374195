// SPDX-License-Identifier: Apache-2.0
#include "agent/core/crash_points.h"

#if CVM_TEST_HOOKS
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>

#include "common/file.h"
#endif

namespace cvm::agent::core {

#if CVM_TEST_HOOKS
namespace {

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

}  // namespace

CrashHook CrashHookFromEnvironment() {
  const std::string crash_at = FromEnvironment("CVM_CRASH_AT");
  const std::string crash_at_file = FromEnvironment("CVM_CRASH_AT_FILE");
  const std::string trace = FromEnvironment("CVM_CRASH_TRACE");
  if (crash_at.empty() && crash_at_file.empty() && trace.empty()) return nullptr;
  return [crash_at, crash_at_file, trace](const CrashSite& site) {
    const std::string name = site.ToString();
    if (!trace.empty()) {
      const int fd = open(trace.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
      const std::string line = name + "\n";
      if (fd < 0 || write(fd, line.data(), line.size()) < 0) abort();
      close(fd);
    }
    if (name == crash_at) kill(getpid(), SIGKILL);
    if (!crash_at_file.empty() && ReadFile(crash_at_file, 4096).value_or("") == name) {
      kill(getpid(), SIGKILL);
    }
    return false;
  };
}
#else
CrashHook CrashHookFromEnvironment() { return nullptr; }
#endif

}  // namespace cvm::agent::core
