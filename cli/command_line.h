// SPDX-License-Identifier: Apache-2.0
//
// The commands and their flags. Keeps the parser behind it out of everybody else's compile time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "cli/session.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's own
class App;
}

namespace cvm::cli {

class CommandLine;

// A command while it is declared; a handle, to be copied freely. Whatever a flag is read into must
// live as long as the CommandLine: put it into the closure given to Run(). Flags are written as
// "--name" or "-n,--name".
class Command {
 public:
  Command Sub(const std::string& name, const std::string& help);
  // A required argument.
  void Argument(const std::string& name, std::string* value, const std::string& help);
  // `placeholder` is what the help shows for the value: "FILE".
  void Text(const std::string& flag, std::string* value, const std::string& placeholder,
            const std::string& help, bool required = false);
  // May be given several times.
  void Texts(const std::string& flag, std::vector<std::string>* values,
             const std::string& placeholder, const std::string& help);
  void Number(const std::string& flag, uint32_t* value, const std::string& help);
  void Flag(const std::string& flag, bool* value, const std::string& help);
  // What the command does; returns the exit code.
  void Run(std::function<int(Session&)> run);

 private:
  friend class CommandLine;
  Command(CLI::App* app, CommandLine* owner) : app_(app), owner_(owner) {}
  CLI::App* app_;
  CommandLine* owner_;
};

// What a command line asks for.
struct Invocation {
  // Set when there is nothing to run: help was shown, or the command line is wrong.
  int exit_code = kExitOk;
  std::function<int(Session&)> run;
};

class CommandLine {
 public:
  // All of cvmctl's commands. The socket's default is taken from CVM_SOCKET.
  CommandLine();
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  // Once. `arguments` without the program's name.
  Invocation Parse(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err);
  const GlobalOptions& options() const { return options_; }

  // Of each command, in words ("instance create"; "" is cvmctl itself), its long flags in order:
  // what the documentation and the completions are checked against.
  std::vector<std::pair<std::string, std::vector<std::string>>> LongFlags() const;

 private:
  friend class Command;
  GlobalOptions options_;
  std::unique_ptr<CLI::App> app_;
  std::function<int(Session&)> run_;
};

// Each adds its group to the root command.
void AddImageCommands(Command root);
void AddInstanceCommands(Command root);
void AddOperationCommands(Command root);
void AddHostCommands(Command root);
void AddVolumeCommands(Command root);
void AddCompletionCommand(Command root);

// Parts of `instance` that are large enough for files of their own.
void AddInstanceCreate(Command group);
void AddInstanceUpdate(Command group);
void AddInstanceReinstall(Command group);
void AddInstanceRescue(Command group);
void AddInstanceSerial(Command group);
void AddInstanceScreenshot(Command group);

}  // namespace cvm::cli
