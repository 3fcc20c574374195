// SPDX-License-Identifier: Apache-2.0
//
// Until it execs, the child runs in the memory of the thread that starts it, and another thread may
// hold the allocator's lock at that instant. So everything the child needs is made before, and
// RunChild() makes system calls only.
#include "common/subprocess.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>
#include <utility>

#include "common/clock.h"
#include "common/file.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm {
namespace {

constexpr char kDefaultPath[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr absl::Duration kCancelPollInterval = absl::Milliseconds(50);
// For a killed process to end; one in an uninterruptible system call may take as long as its disk.
constexpr absl::Duration kKillGrace = absl::Seconds(5);
constexpr size_t kChunkBytes = size_t{64} << 10;
// What a pipe holds at most without CAP_SYS_RESOURCE, and the least that a full buffer of it holds.
constexpr size_t kMaxPipeBytes = size_t{1} << 20;
constexpr size_t kPipeBufferBytes = 4096;

absl::Status SystemError(std::string_view what) {
  return absl::ErrnoToStatus(errno, fmt::format("cannot {} for a program", what));
}

// Processes that were killed but have not ended yet; the next call of RunCommand reaps them.
class Unreaped {
 public:
  void Add(pid_t pid) {
    MutexLock lock(mutex_);
    pids_.push_back(pid);
  }
  void ReapEnded() {
    MutexLock lock(mutex_);
    std::erase_if(pids_, [](pid_t pid) { return waitpid(pid, nullptr, WNOHANG) != 0; });
  }
  static Unreaped& Get() {
    static Unreaped* const unreaped = new Unreaped;
    return *unreaped;
  }

 private:
  Mutex mutex_;
  std::vector<pid_t> pids_ CVM_GUARDED_BY(mutex_);
};

bool IsExecutableFile(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && access(path.c_str(), X_OK) == 0;
}

absl::StatusOr<std::string> FindProgram(const std::string& name, std::string_view search_path) {
  if (name.find('/') != std::string::npos) return name;
  while (!name.empty() && !search_path.empty()) {
    const size_t colon = std::min(search_path.find(':'), search_path.size());
    const std::string_view folder = search_path.substr(0, colon);
    search_path.remove_prefix(std::min(colon + 1, search_path.size()));
    // An empty or relative folder would depend on where the caller happens to be.
    if (folder.empty() || folder.front() != '/') continue;
    const std::string candidate = fmt::format("{}/{}", folder, name);
    if (IsExecutableFile(candidate)) return candidate;
  }
  return absl::NotFoundError(fmt::format("the program '{}' is not installed", name));
}

// Moves a descriptor out of the range that the child fills with its standard streams.
absl::StatusOr<UniqueFd> AboveStandardStreams(UniqueFd fd) {
  if (fd.get() > STDERR_FILENO) return fd;
  UniqueFd moved(fcntl(fd.get(), F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
  if (!moved) return SystemError("duplicate a descriptor");
  return moved;
}

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) return SystemError("make a pipe");
  UniqueFd read_end(fds[0]);
  UniqueFd write_end(fds[1]);
  Pipe result;
  CVM_ASSIGN_OR_RETURN(result.read_end, AboveStandardStreams(std::move(read_end)));
  CVM_ASSIGN_OR_RETURN(result.write_end, AboveStandardStreams(std::move(write_end)));
  if (fcntl(result.read_end.get(), F_SETFL, O_NONBLOCK) != 0) return SystemError("set up a pipe");
  return result;
}

// A file in memory: unlike a pipe it is never full, and never breaks when the program ends early.
absl::StatusOr<UniqueFd> MakeInput(const std::string& input) {
  UniqueFd fd(input.empty() ? open("/dev/null", O_RDONLY | O_CLOEXEC)
                            : memfd_create("cvm-input", MFD_CLOEXEC));
  if (!fd) return SystemError("make the standard input");
  for (std::string_view rest = input; !rest.empty();) {
    const ssize_t written = write(fd.get(), rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return SystemError("write the standard input");
    rest.remove_prefix(static_cast<size_t>(written));
  }
  if (!input.empty() && lseek(fd.get(), 0, SEEK_SET) != 0) {
    return SystemError("rewind the standard input");
  }
  return AboveStandardStreams(std::move(fd));
}

// All that the child needs.
struct ChildPlan {
  const char* program = nullptr;
  char* const* argv = nullptr;
  char* const* envp = nullptr;
  int in = -1;
  int out = -1;
  int err = -1;
  // Takes errno when the program could not be started.
  int failure = -1;
  pid_t parent = 0;
  uint64_t cpu_seconds = 0;
  uint64_t address_space_bytes = 0;
  uint64_t file_size_bytes = 0;
  const int* inherit_fds = nullptr;
  size_t inherit_fd_count = 0;
};

// Called in the child, with all signals blocked.
bool PrepareChild(const ChildPlan& plan) {
  if (setpgid(0, 0) != 0) return false;
  // The kernel sends it when the thread that forked ends; that thread waits in RunCommand.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return false;
  // The parent may have ended before that.
  if (getppid() != plan.parent) _exit(127);
  // An ignored signal would stay ignored in the program.
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) {
    // Fails for SIGKILL, SIGSTOP and those that libc keeps for itself.
    sigaction(signal, &action, nullptr);
  }
  if (dup2(plan.in, STDIN_FILENO) < 0 || dup2(plan.out, STDOUT_FILENO) < 0 ||
      dup2(plan.err, STDERR_FILENO) < 0) {
    return false;
  }
  if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return false;
  for (size_t i = 0; i < plan.inherit_fd_count; ++i) {
    if (fcntl(plan.inherit_fds[i], F_SETFD, 0) != 0) return false;
  }
  rlimit limit{0, 0};
  // A core file would hold what the program was given.
  if (setrlimit(RLIMIT_CORE, &limit) != 0) return false;
  if (plan.cpu_seconds != 0) {
    // SIGXCPU at the soft limit, SIGKILL at the hard one.
    limit = {plan.cpu_seconds, plan.cpu_seconds + 1};
    if (setrlimit(RLIMIT_CPU, &limit) != 0) return false;
  }
  if (plan.address_space_bytes != 0) {
    limit = {plan.address_space_bytes, plan.address_space_bytes};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return false;
  }
  if (plan.file_size_bytes != 0) {
    limit = {plan.file_size_bytes, plan.file_size_bytes};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
  }
  sigset_t none;
  sigemptyset(&none);
  return sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

[[noreturn]] void RunChild(const ChildPlan& plan) {
  if (PrepareChild(plan)) execve(plan.program, plan.argv, plan.envp);
  const int error = errno;
  // Nobody is left to tell when this fails.
  [[maybe_unused]] const ssize_t written = write(plan.failure, &error, sizeof(error));
  _exit(127);
}

// Starts the child with all signals blocked, so that no handler of this program runs in it. Not by
// fork: copying the tables of the address space takes long in a large program, and afterwards the
// first write to each page faults, in all of its threads. Here the child uses this thread's memory
// until it execs or ends, and this thread waits for that; the other threads go on.
pid_t StartChild(const ChildPlan& plan) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = vfork();
  if (pid == 0) RunChild(plan);
  const int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = error;
  return pid;
}

struct Stream {
  UniqueFd fd;
  std::string* text = nullptr;
  const std::function<void(std::string_view)>* on_output = nullptr;
};

// One program, from its start to its end.
class Child {
 public:
  Child(const CommandLimits& limits, std::string name) : limits_(limits), name_(std::move(name)) {}
  // Whatever happens, no process is left.
  ~Child() {
    if (pid_ > 0) KillAndReap();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  absl::Status Start(const std::string& program, const std::vector<std::string>& argv,
                     const std::string& search_path, const std::string& input);
  absl::StatusOr<CommandResult> Wait();

 private:
  absl::Status ReadStartFailure(const std::string& program, int fd) const;
  // Waits for output or the end, at most `timeout`; true when the program has ended.
  absl::StatusOr<bool> Poll(absl::Duration timeout);
  // Reads one piece; false when there is none just now, or none will come.
  bool ReadAvailable(Stream& stream);
  // The wait status; nothing when the process did not end in time.
  std::optional<int> KillAndReap();

  const CommandLimits& limits_;
  const std::string name_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  CommandResult result_;
  std::array<Stream, 2> streams_;
};

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

absl::Status Child::Start(const std::string& program, const std::vector<std::string>& argv,
                          const std::string& search_path, const std::string& input) {
  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment = {"PATH=" + search_path, "LANG=C.UTF-8"};
  environment.insert(environment.end(), limits_.environment.begin(), limits_.environment.end());
  const std::vector<char*> argument_pointers = Pointers(arguments);
  const std::vector<char*> environment_pointers = Pointers(environment);
  CVM_ASSIGN_OR_RETURN(const UniqueFd in, MakeInput(input));
  CVM_ASSIGN_OR_RETURN(Pipe out, MakePipe());
  CVM_ASSIGN_OR_RETURN(Pipe err, MakePipe());
  CVM_ASSIGN_OR_RETURN(Pipe failure, MakePipe());

  const ChildPlan plan = {.program = program.c_str(),
                          .argv = argument_pointers.data(),
                          .envp = environment_pointers.data(),
                          .in = in.get(),
                          .out = out.write_end.get(),
                          .err = err.write_end.get(),
                          .failure = failure.write_end.get(),
                          .parent = getpid(),
                          .cpu_seconds = limits_.cpu_seconds,
                          .address_space_bytes = limits_.address_space_bytes,
                          .file_size_bytes = limits_.file_size_bytes,
                          .inherit_fds = limits_.inherit_fds.data(),
                          .inherit_fd_count = limits_.inherit_fds.size()};
  pid_ = StartChild(plan);
  if (pid_ < 0) return SystemError("fork");
  // Also here, so that the group exists whoever comes first; fails when the child has exec'ed.
  setpgid(pid_, pid_);
  pidfd_ = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_) return SystemError("watch a process");
  out.write_end.Reset();
  err.write_end.Reset();
  failure.write_end.Reset();
  CVM_RETURN_IF_ERROR(ReadStartFailure(program, failure.read_end.get()));
  streams_[0] = {std::move(out.read_end), &result_.out, &limits_.on_output};
  streams_[1] = {std::move(err.read_end), &result_.err, nullptr};
  return absl::OkStatus();
}

// The pipe closes at exec; errno comes through it when there was none.
absl::Status Child::ReadStartFailure(const std::string& program, int fd) const {
  pollfd ready = {fd, POLLIN, 0};
  int error = 0;
  ssize_t got = -1;
  do {
    if (poll(&ready, 1, -1) < 0 && errno != EINTR) return SystemError("start a process");
    got = read(fd, &error, sizeof(error));
  } while (got < 0 && (errno == EINTR || errno == EAGAIN));
  if (got == 0) return absl::OkStatus();
  if (got != sizeof(error)) error = EIO;
  return absl::ErrnoToStatus(error, fmt::format("cannot start {}", program));
}

bool Child::ReadAvailable(Stream& stream) {
  std::array<char, kChunkBytes> chunk;
  ssize_t got = -1;
  do {
    got = read(stream.fd.get(), chunk.data(), chunk.size());
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return false;
  if (got <= 0) {
    stream.fd.Reset();
    return false;
  }
  const std::string_view piece(chunk.data(), static_cast<size_t>(got));
  stream.text->append(piece.substr(0, limits_.max_output_bytes - stream.text->size()));
  if (stream.on_output != nullptr && *stream.on_output) (*stream.on_output)(piece);
  return true;
}

std::optional<int> Child::KillAndReap() {
  const pid_t pid = std::exchange(pid_, -1);
  kill(-pid, SIGKILL);
  // For the case that it has no group yet.
  kill(pid, SIGKILL);
  if (pidfd_) {
    pollfd ended = {pidfd_.get(), POLLIN, 0};
    int ready = 0;
    do {
      ready = poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(kKillGrace)));
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
      Unreaped::Get().Add(pid);
      errno = ETIMEDOUT;
      return std::nullopt;
    }
  }
  int status = 0;
  pid_t reaped = -1;
  do {
    reaped = waitpid(pid, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  if (reaped != pid) return std::nullopt;
  return status;
}

absl::StatusOr<bool> Child::Poll(absl::Duration timeout) {
  // poll() leaves out a negative descriptor.
  std::array<pollfd, 3> fds = {{{pidfd_.get(), POLLIN, 0},
                                {streams_[0].fd.get(), POLLIN, 0},
                                {streams_[1].fd.get(), POLLIN, 0}}};
  // Rounded up: a shorter wait would spin in the last millisecond.
  const int64_t milliseconds =
      timeout == absl::InfiniteDuration()
          ? -1
          : std::clamp<int64_t>(absl::ToInt64Milliseconds(timeout) + 1, 0, INT_MAX);
  if (poll(fds.data(), fds.size(), static_cast<int>(milliseconds)) < 0) {
    if (errno == EINTR) return false;
    return SystemError("wait");
  }
  for (size_t i = 0; i < streams_.size(); ++i) {
    if (fds[i + 1].revents != 0) ReadAvailable(streams_[i]);
  }
  return fds[0].revents != 0;
}

absl::StatusOr<CommandResult> Child::Wait() {
  const Clock& clock = Clock::Real();
  const absl::Duration deadline = clock.Monotonic() + limits_.timeout;
  while (true) {
    if (limits_.cancelled && limits_.cancelled()) {
      return absl::CancelledError(fmt::format("{} was cancelled", name_));
    }
    const absl::Duration left = deadline - clock.Monotonic();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError(
          fmt::format("{} took longer than {}", name_, absl::FormatDuration(limits_.timeout)));
    }
    CVM_ASSIGN_OR_RETURN(const bool ended,
                         Poll(limits_.cancelled ? std::min(left, kCancelPollInterval) : left));
    if (ended) break;
  }
  // What the program left running in its group would keep the pipes open. The program itself is
  // not reaped yet, so that its number still means its group.
  const std::optional<int> status = KillAndReap();
  if (!status.has_value()) return SystemError("reap a process");
  // What the pipes still hold. Bounded: a program that left the group may go on writing.
  for (Stream& stream : streams_) {
    for (size_t i = 0; i < kMaxPipeBytes / kPipeBufferBytes && stream.fd; ++i) {
      if (!ReadAvailable(stream)) break;
    }
  }
  result_.exit_code = WIFSIGNALED(*status) ? 128 + WTERMSIG(*status) : WEXITSTATUS(*status);
  return std::move(result_);
}

}  // namespace

absl::StatusOr<CommandResult> RunCommand(const std::vector<std::string>& argv,
                                         const CommandLimits& limits, const std::string& input) {
  if (argv.empty()) return absl::InvalidArgumentError("no program was named");
  Unreaped::Get().ReapEnded();
  const char* inherited_path = std::getenv("PATH");
  const std::string search_path = inherited_path != nullptr ? inherited_path : kDefaultPath;
  CVM_ASSIGN_OR_RETURN(const std::string program, FindProgram(argv[0], search_path));
  if (limits.cancelled && limits.cancelled()) {
    return absl::CancelledError(fmt::format("{} was cancelled", argv[0]));
  }
  Child child(limits, argv[0]);
  CVM_RETURN_IF_ERROR(child.Start(program, argv, search_path, input));
  return child.Wait();
}

}  // namespace cvm
