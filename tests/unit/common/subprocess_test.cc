// SPDX-License-Identifier: Apache-2.0
#include "common/subprocess.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <thread>

#include "common/clock.h"
#include "common/file.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

CommandResult MustRun(const std::vector<std::string>& argv, const CommandLimits& limits = {},
                      const std::string& input = "") {
  absl::StatusOr<CommandResult> result = RunCommand(argv, limits, input);
  EXPECT_TRUE(result.ok()) << result.status();
  return result.ok() ? *std::move(result) : CommandResult{-1, "", ""};
}

CommandResult Shell(const std::string& script, const CommandLimits& limits = {},
                    const std::string& input = "") {
  return MustRun({"sh", "-c", script}, limits, input);
}

bool WaitFor(const std::function<bool()>& condition) {
  const absl::Duration deadline = Clock::Real().Monotonic() + absl::Seconds(4);
  while (Clock::Real().Monotonic() < deadline) {
    if (condition()) return true;
    std::this_thread::yield();
  }
  return condition();
}

// False also for a process that has ended and waits to be reaped.
bool IsRunning(pid_t pid) {
  const absl::StatusOr<std::string> stat = ReadFile("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat.ok()) return false;
  const size_t name_end = stat->rfind(") ");
  return name_end != std::string::npos && (*stat)[name_end + 2] != 'Z' &&
         (*stat)[name_end + 2] != 'X';
}

pid_t PidIn(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, 100);
  return text.ok() && !text->empty() && text->back() == '\n' ? std::stoi(*text) : 0;
}

bool HasNoChildren() { return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD; }

TEST(RunCommand, ReturnsOutputAndExitCode) {
  const CommandResult result = Shell("echo out; echo err >&2; exit 7");
  EXPECT_EQ(result.exit_code, 7);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_EQ(result.err, "err\n");
  EXPECT_EQ(MustRun({"true"}).exit_code, 0);
  EXPECT_TRUE(HasNoChildren());
}

TEST(RunCommand, ReportsSignals) {
  EXPECT_EQ(Shell("kill -TERM $$").exit_code, 128 + SIGTERM);
  EXPECT_EQ(Shell("kill -KILL $$").exit_code, 128 + SIGKILL);
}

TEST(RunCommand, PassesArgumentsUntouched) {
  EXPECT_EQ(MustRun({"printf", "%s|", "a b", "", "$HOME", "'\"`", "\xff\n"}).out,
            "a b||$HOME|'\"`|\xff\n|");
}

TEST(RunCommand, GivesStandardInput) {
  EXPECT_EQ(MustRun({"cat"}, {}, "hello").out, "hello");
  EXPECT_EQ(MustRun({"cat"}).out, "");
  const std::string large(size_t{3} << 20, 'x');
  EXPECT_EQ(MustRun({"wc", "-c"}, {}, large).out, "3145728\n");
  // One that does not read its input is no problem.
  EXPECT_EQ(MustRun({"true"}, {}, large).exit_code, 0);
  EXPECT_EQ(Shell("cat /dev/stdin", {}, "again").out, "again");
}

TEST(RunCommand, KeepsAndDropsOutputBeyondTheLimit) {
  CommandLimits limits;
  limits.max_output_bytes = 1000;
  size_t seen = 0;
  limits.on_output = [&seen](std::string_view piece) { seen += piece.size(); };
  const CommandResult result =
      Shell("head -c 5000000 /dev/zero | tr '\\0' x; head -c 2000 /dev/zero >&2", limits);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, std::string(1000, 'x'));
  EXPECT_EQ(result.err.size(), 1000u);
  EXPECT_EQ(seen, 5'000'000u);
}

TEST(RunCommand, TellsOutputAsItComes) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo(folder.File("go").c_str(), 0600), 0);
  CommandLimits limits;
  std::string seen;
  // The program waits until we have seen its first line.
  limits.on_output = [&](std::string_view piece) {
    if (seen.empty()) {
      const UniqueFd fifo(open(folder.File("go").c_str(), O_WRONLY | O_CLOEXEC));
      EXPECT_TRUE(fifo);
    }
    seen += piece;
  };
  EXPECT_EQ(Shell("echo 1; : <" + folder.File("go") + "; echo 2", limits).out, "1\n2\n");
  EXPECT_EQ(seen, "1\n2\n");
}

TEST(RunCommand, MissingProgramsAreNotFound) {
  for (const char* name : {"cvm-no-such-program", "/no/such/program", "./no-such-program", ""}) {
    EXPECT_EQ(RunCommand({name}).status().code(), absl::StatusCode::kNotFound) << name;
  }
  EXPECT_EQ(RunCommand({}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(HasNoChildren());
}

TEST(RunCommand, WhatCannotBeExecutedIsAnError) {
  const TemporaryFolder folder;
  const std::string path = folder.Write("text", "no program");
  EXPECT_EQ(RunCommand({path}).status().code(), absl::StatusCode::kPermissionDenied);
  ASSERT_EQ(chmod(path.c_str(), 0700), 0);
  EXPECT_FALSE(RunCommand({path}).ok());
  EXPECT_FALSE(RunCommand({folder.path()}).ok());
  EXPECT_TRUE(HasNoChildren());
}

TEST(RunCommand, TimeoutKillsGrandchildrenToo) {
  const TemporaryFolder folder;
  CommandLimits limits;
  limits.timeout = absl::Milliseconds(300);
  const std::string script = "sleep 600 & echo $! >" + folder.File("pid") + "; trap '' TERM; wait";
  EXPECT_EQ(RunCommand({"sh", "-c", script}, limits).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  const pid_t grandchild = PidIn(folder.File("pid"));
  ASSERT_GT(grandchild, 0);
  EXPECT_TRUE(WaitFor([grandchild] { return !IsRunning(grandchild); }));
  EXPECT_TRUE(HasNoChildren());
}

TEST(RunCommand, AGrandchildThatKeepsThePipeDoesNotKeepUs) {
  const TemporaryFolder folder;
  const absl::Duration start = Clock::Real().Monotonic();
  const CommandResult result = Shell("sleep 600 & echo $! >" + folder.File("pid") + "; echo done");
  EXPECT_EQ(result.out, "done\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_LT(Clock::Real().Monotonic() - start, absl::Seconds(60));
  const pid_t grandchild = PidIn(folder.File("pid"));
  ASSERT_GT(grandchild, 0);
  EXPECT_TRUE(WaitFor([grandchild] { return !IsRunning(grandchild); }));
}

TEST(RunCommand, AnEndlessWriterMeetsItsDeadline) {
  CommandLimits limits;
  limits.timeout = absl::Milliseconds(200);
  EXPECT_EQ(RunCommand({"cat", "/dev/zero"}, limits).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST(RunCommand, AllOutputOfAnEndedProgramArrives) {
  // It ends at once, with its output still in the pipe.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Shell("head -c 60000 /dev/zero").out.size(), 60'000u);
  }
}

TEST(RunCommand, CancelKillsTheProgram) {
  const TemporaryFolder folder;
  std::atomic<bool> cancelled = false;
  CommandLimits limits;
  limits.cancelled = [&cancelled] { return cancelled.load(); };
  limits.on_output = [&cancelled](std::string_view) { cancelled = true; };
  const std::string script = "echo $$ >" + folder.File("pid") + "; echo ready; exec sleep 600";
  EXPECT_EQ(RunCommand({"sh", "-c", script}, limits).status().code(), absl::StatusCode::kCancelled);
  EXPECT_FALSE(IsRunning(PidIn(folder.File("pid"))));
  EXPECT_TRUE(HasNoChildren());
}

TEST(RunCommand, ACancelledCommandIsNotEvenStarted) {
  const TemporaryFolder folder;
  CommandLimits limits;
  limits.cancelled = [] { return true; };
  EXPECT_EQ(RunCommand({"touch", folder.File("f")}, limits).status().code(),
            absl::StatusCode::kCancelled);
  EXPECT_NE(access(folder.File("f").c_str(), F_OK), 0);
}

TEST(RunCommand, InheritsNoDescriptor) {
  // Open without close-on-exec, as a careless library would.
  const UniqueFd careless(open("/dev/null", O_RDONLY));
  ASSERT_GT(careless.get(), 2);
  EXPECT_EQ(Shell("ls /proc/$$/fd; true").out, "0\n1\n2\n");
}

TEST(RunCommand, WorksWithoutStandardStreams) {
  // In a process of its own, since it closes what the test framework uses.
  const pid_t pid = fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    for (int fd = 0; fd <= 2; ++fd) close(fd);
    const absl::StatusOr<CommandResult> result =
        RunCommand({"sh", "-c", "cat; echo err >&2"}, {}, "in");
    _exit(result.ok() && result->out == "in" && result->err == "err\n" ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(RunCommand, GivesACleanEnvironment) {
  ASSERT_EQ(setenv("CVM_TEST_SECRET", "x", 1), 0);
  CommandLimits limits;
  limits.environment = {"EXTRA=1"};
  const std::string out = MustRun({"env"}, limits).out;
  unsetenv("CVM_TEST_SECRET");
  EXPECT_EQ(out, std::string("PATH=") + getenv("PATH") + "\nLANG=C.UTF-8\nEXTRA=1\n");
}

TEST(RunCommand, GivesCleanSignals) {
  // Nothing blocked and nothing ignored, whatever this process does.
  const auto before = signal(SIGPIPE, SIG_IGN);
  sigset_t blocked;
  sigset_t old;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &old);
  const std::string out = MustRun({"grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"}).out;
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
  signal(SIGPIPE, before);
  EXPECT_EQ(out, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(RunCommand, HasAProcessGroupOfItsOwn) {
  const CommandResult result = Shell("echo $$; cut -d' ' -f5 /proc/$$/stat");
  const size_t line = result.out.find('\n');
  EXPECT_EQ(result.out.substr(0, line + 1), result.out.substr(line + 1));
}

TEST(RunCommand, DiesWithItsParent) {
  const TemporaryFolder folder;
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    const auto result =
        RunCommand({"sh", "-c", "echo $$ >" + folder.File("pid") + "; exec sleep 600"});
    _exit(result.ok() ? 0 : 1);
  }
  ASSERT_TRUE(WaitFor([&folder] { return PidIn(folder.File("pid")) > 0; }));
  const pid_t child = PidIn(folder.File("pid"));
  EXPECT_TRUE(IsRunning(child));
  kill(parent, SIGKILL);
  ASSERT_EQ(waitpid(parent, nullptr, 0), parent);
  EXPECT_TRUE(WaitFor([child] { return !IsRunning(child); }));
}

TEST(RunCommand, LimitsCpuTimeAndMemory) {
  CommandLimits limits;
  limits.cpu_seconds = 3;
  limits.address_space_bytes = uint64_t{512} << 20;
  const std::string out = Shell("ulimit -t; ulimit -v; ulimit -c", limits).out;
  EXPECT_EQ(out, "3\n524288\n0\n");
  limits.address_space_bytes = uint64_t{64} << 20;
  // The buffer does not fit.
  EXPECT_NE(MustRun({"dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"}, limits).exit_code,
            0);
}

TEST(RunCommand, EndsWhatUsesTooMuchCpu) {
  CommandLimits limits;
  limits.cpu_seconds = 1;
  EXPECT_EQ(Shell("while :; do :; done", limits).exit_code, 128 + SIGXCPU);
}

TEST(RunCommand, RunsFromManyThreads) {
  std::array<std::string, 6> outputs;
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < outputs.size(); ++i) {
      threads.emplace_back([&outputs, i] {
        for (int j = 0; j < 2; ++j) {
          const auto result = RunCommand({"cat"}, {}, std::to_string(i));
          outputs[i] += result.ok() ? result->out : result.status().ToString();
        }
      });
    }
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    EXPECT_EQ(outputs[i], std::string(2, static_cast<char>('0' + i)));
  }
  EXPECT_TRUE(HasNoChildren());
}

TEST(RunCommand, LeavesNoDescriptorOpen) {
  const auto count = [] {
    int open_fds = 0;
    for (int fd = 0; fd < 256; ++fd) open_fds += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return open_fds;
  };
  Shell("true");
  const int before = count();
  CommandLimits limits;
  limits.timeout = absl::Milliseconds(20);
  for (int i = 0; i < 3; ++i) {
    Shell("echo x", {}, "in");
    EXPECT_FALSE(RunCommand({"/no/such/program"}).ok());
    EXPECT_FALSE(RunCommand({"sleep", "600"}, limits).ok());
  }
  EXPECT_EQ(count(), before);
}

}  // namespace
}  // namespace cvm
