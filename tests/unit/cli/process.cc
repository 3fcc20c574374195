// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cli/process.h"

#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace cvm::cli {
namespace {

// Far beyond what a test needs; reached only when something is wrong.
constexpr std::chrono::seconds kPatience{60};

[[noreturn]] void Die(const char* what) {
  perror(what);
  std::abort();
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (const std::string& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

std::pair<UniqueFd, UniqueFd> MakePipe() {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) Die("pipe2");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

}  // namespace

Process::Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
                 Terminal terminal) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // The caller of the test may have blocked or ignored signals that the program is to get.
  sigset_t all;
  sigset_t none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

  auto [out_read, out_write] = MakePipe();
  UniqueFd child_input;
  UniqueFd child_errors;
  std::string slave_name;
  if (terminal == Terminal::kNone) {
    auto [in_read, in_write] = MakePipe();
    auto [err_read, err_write] = MakePipe();
    child_input = std::move(in_read);
    child_errors = std::move(err_write);
    input_ = std::move(in_write);
    errors_ = std::move(err_read);
    posix_spawn_file_actions_adddup2(&actions, child_input.get(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, child_errors.get(), STDERR_FILENO);
  } else {
    int master = -1;
    int slave = -1;
    char name[128];
    winsize size{.ws_row = 24, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
    if (openpty(&master, &slave, name, nullptr, &size) != 0) Die("openpty");
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(slave, F_SETFD, FD_CLOEXEC);
    input_ = UniqueFd(master);
    errors_ = UniqueFd(fcntl(master, F_DUPFD_CLOEXEC, 0));
    // Held till the program has it: reading the master ends when nobody does.
    child_input = UniqueFd(slave);
    slave_name = name;
    flags |= POSIX_SPAWN_SETSID;
    // The first terminal that a session leader opens becomes its controlling one.
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, slave_name.c_str(), O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO);
  }
  posix_spawn_file_actions_adddup2(&actions, out_write.get(), STDOUT_FILENO);
  output_ = std::move(out_read);
  posix_spawnattr_setflags(&attributes, flags);
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> variables = Pointers(environment);
  const int error = posix_spawn(&pid_, argv[0].c_str(), &actions, &attributes, arguments.data(),
                                variables.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error != 0) {
    errno = error;
    Die(argv[0].c_str());
  }
  out_write.Reset();
  out_thread_ = std::thread([this] { Collect(output_.get(), &out_); });
  err_thread_ = std::thread([this] { Collect(errors_.get(), &err_); });
}

Process::~Process() {
  if (!reaped_) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  if (out_thread_.joinable()) out_thread_.join();
  if (err_thread_.joinable()) err_thread_.join();
}

void Process::Collect(int fd, std::string* into) {
  char buffer[4096];
  while (true) {
    const ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    MutexLock lock(mutex_);
    if (got <= 0) {
      --open_streams_;
      changed_.NotifyAll();
      return;
    }
    into->append(buffer, static_cast<size_t>(got));
    changed_.NotifyAll();
  }
}

void Process::Write(const std::string& input) {
  if (write(input_.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) {
    Die("write");
  }
}

void Process::CloseInput() { input_.Reset(); }

void Process::Signal(int number) { kill(pid_, number); }

bool Process::WaitFor(const std::string& text, const std::string* in) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  MutexLock lock(mutex_);
  while (in->find(text) == std::string::npos) {
    const auto left = give_up - std::chrono::steady_clock::now();
    if (open_streams_ == 0 || left <= std::chrono::seconds(0)) return false;
    changed_.WaitFor(mutex_, left);
  }
  return true;
}

bool Process::WaitForOut(const std::string& text) { return WaitFor(text, &out_); }
bool Process::WaitForErr(const std::string& text) { return WaitFor(text, &err_); }

int Process::Wait() {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  int status = 0;
  // The end of a child cannot be waited for with a deadline otherwise.
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > give_up) return -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  reaped_ = true;
  MutexLock lock(mutex_);
  while (open_streams_ > 0) {
    if (std::chrono::steady_clock::now() > give_up) return -1;
    changed_.WaitFor(mutex_, std::chrono::milliseconds(100));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

std::string Process::out() const {
  MutexLock lock(mutex_);
  return out_;
}

std::string Process::err() const {
  MutexLock lock(mutex_);
  return err_;
}

}  // namespace cvm::cli
