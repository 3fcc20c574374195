// SPDX-License-Identifier: Apache-2.0
#include "cli/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "fmt/format.h"

namespace cvm::cli {
namespace {

// Globals, because a signal handler has nothing else.
std::atomic<int> g_changed_fd{-1};
termios g_former{};

void OnFault(int number) {
  RestoreTerminalNow();
  // SA_RESETHAND put the default action back: the fault is reported as if nobody had looked.
  raise(number);
}

void CatchFaults() {
  static bool caught = false;
  if (caught) return;
  caught = true;
  std::atexit(RestoreTerminalNow);
  struct sigaction action {};
  action.sa_handler = OnFault;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int number : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGQUIT}) {
    sigaction(number, &action, nullptr);
  }
}

absl::Status Change(int fd, void (*edit)(termios*)) {
  if (tcgetattr(fd, &g_former) != 0) {
    return absl::InvalidArgumentError(fmt::format("not a terminal: {}", strerror(errno)));
  }
  CatchFaults();
  termios wanted = g_former;
  edit(&wanted);
  g_changed_fd = fd;
  if (tcsetattr(fd, TCSAFLUSH, &wanted) != 0) {
    g_changed_fd = -1;
    return absl::InternalError(fmt::format("cannot set the terminal up: {}", strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace

int TerminalWidth(int fd) {
  winsize size{};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

void RestoreTerminalNow() {
  const int fd = g_changed_fd.exchange(-1);
  if (fd >= 0) tcsetattr(fd, TCSADRAIN, &g_former);
}

absl::StatusOr<std::unique_ptr<TerminalMode>> TerminalMode::Raw(int fd) {
  if (absl::Status status = Change(fd, [](termios* mode) { cfmakeraw(mode); }); !status.ok()) {
    return status;
  }
  return std::unique_ptr<TerminalMode>(new TerminalMode());
}

absl::StatusOr<std::unique_ptr<TerminalMode>> TerminalMode::NoEcho(int fd) {
  const auto edit = [](termios* mode) { mode->c_lflag &= ~static_cast<tcflag_t>(ECHO); };
  if (absl::Status status = Change(fd, edit); !status.ok()) return status;
  return std::unique_ptr<TerminalMode>(new TerminalMode());
}

TerminalMode::~TerminalMode() { RestoreTerminalNow(); }

}  // namespace cvm::cli
