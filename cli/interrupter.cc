// SPDX-License-Identifier: Apache-2.0
#include "cli/interrupter.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "cli/exit_code.h"
#include "cli/terminal.h"

namespace cvm::cli {
namespace {

constexpr int kImpatience = 3;

void Raise(int fd) {
  const uint64_t one = 1;
  // Only fails when the counter is about to overflow, and then it is readable anyhow.
  [[maybe_unused]] const ssize_t written = write(fd, &one, sizeof(one));
}

sigset_t HandledSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) {
      sigaddset(&set, number);
    }
  }
  return set;
}

}  // namespace

Interrupter::Interrupter() {
  const sigset_t set = HandledSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  event_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  thread_ = std::thread([this] { Loop(); });
}

Interrupter::~Interrupter() {
  Raise(stop_.get());
  thread_.join();
}

int Interrupter::signal() const {
  MutexLock lock(mutex_);
  return first_;
}

void Interrupter::Reset() {
  MutexLock lock(mutex_);
  first_ = 0;
  uint64_t drained = 0;
  [[maybe_unused]] const ssize_t got = read(event_.get(), &drained, sizeof(drained));
}

bool Interrupter::Sleep(absl::Duration duration) const {
  pollfd entry{.fd = event_.get(), .events = POLLIN, .revents = 0};
  poll(&entry, 1, static_cast<int>(absl::ToInt64Milliseconds(duration)));
  return signal() == 0;
}

Interrupter::Registration::~Registration() {
  MutexLock lock(owner_->mutex_);
  owner_->callbacks_.erase(position_);
}

std::unique_ptr<Interrupter::Registration> Interrupter::OnSignal(std::function<void()> callback) {
  MutexLock lock(mutex_);
  if (first_ != 0) callback();
  callbacks_.push_back(std::move(callback));
  return std::make_unique<Registration>(this, std::prev(callbacks_.end()));
}

void Interrupter::Loop() {
  while (true) {
    pollfd entries[] = {{.fd = signals_.get(), .events = POLLIN, .revents = 0},
                        {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
    if (poll(entries, 2, -1) < 0) continue;
    if (entries[1].revents != 0) return;
    signalfd_siginfo info{};
    if (read(signals_.get(), &info, sizeof(info)) != sizeof(info)) continue;
    const int number = static_cast<int>(info.ssi_signo);
    MutexLock lock(mutex_);
    if (++count_ >= kImpatience) {
      RestoreTerminalNow();
      _exit(kExitSignal + number);
    }
    if (first_ == 0) first_ = number;
    Raise(event_.get());
    for (const auto& callback : callbacks_) callback();
  }
}

}  // namespace cvm::cli
