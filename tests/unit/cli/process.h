// SPDX-License-Identifier: Apache-2.0
//
// A program under test, with its input and output in the test's hands.
#pragma once

#include <sys/types.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/time/time.h"
#include "common/file.h"
#include "common/mutex.h"

namespace cvm::cli {

class Process {
 public:
  enum class Terminal { kNone, kInputAndErrors };

  // Standard output is always a pipe. With a terminal (its controlling one), standard input and
  // standard error are that terminal, and what it shows is err().
  Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment,
          Terminal terminal = Terminal::kNone);
  // Kills what is still running.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Write(const std::string& input);
  void CloseInput();
  void Signal(int number);
  // Waits till the stream holds `text`; false when the program is gone or too much time passed.
  bool WaitForOut(const std::string& text) CVM_EXCLUDES(mutex_);
  bool WaitForErr(const std::string& text) CVM_EXCLUDES(mutex_);
  // Waits for the end: the exit code, 1000 plus the number of a signal that was not handled, or -1
  // when it does not end.
  int Wait() CVM_EXCLUDES(mutex_);
  std::string out() const CVM_EXCLUDES(mutex_);
  std::string err() const CVM_EXCLUDES(mutex_);
  // The terminal that the program has, from our side.
  int terminal_fd() const { return input_.get(); }

 private:
  void Collect(int fd, std::string* into);
  // `in` is out_ or err_.
  bool WaitFor(const std::string& text, const std::string* in) CVM_EXCLUDES(mutex_);

  pid_t pid_ = -1;
  bool reaped_ = false;
  UniqueFd input_;
  UniqueFd output_;
  UniqueFd errors_;
  mutable Mutex mutex_;
  CondVar changed_;
  int open_streams_ CVM_GUARDED_BY(mutex_) = 2;
  std::string out_ CVM_GUARDED_BY(mutex_);
  std::string err_ CVM_GUARDED_BY(mutex_);
  std::thread out_thread_;
  std::thread err_thread_;
};

}  // namespace cvm::cli
