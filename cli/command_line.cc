// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <algorithm>
#include <cstdlib>

#include "CLI/App.hpp"
#include "CLI/Config.hpp"
#include "CLI/Formatter.hpp"
#include "cli/output.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

constexpr char kDefaultSocket[] = "/run/cvm/agent.sock";

// Before the command line is understood, and so whatever else is wrong with it.
bool WantsJson(const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == "-ojson" || arguments[i] == "--output=json") return true;
    if ((arguments[i] == "-o" || arguments[i] == "--output") && i + 1 < arguments.size() &&
        arguments[i + 1] == "json") {
      return true;
    }
  }
  return false;
}

// The innermost command that was named.
const CLI::App* Named(const CLI::App* app) {
  while (true) {
    const auto below = app->get_subcommands();
    if (below.empty()) return app;
    app = below.front();
  }
}

std::string PathOf(const CLI::App* app) {
  std::string path = app->get_name();
  for (app = app->get_parent(); app != nullptr; app = app->get_parent()) {
    path = app->get_name() + " " + path;
  }
  return path;
}

void Collect(const CLI::App* app, const std::string& path,
             std::vector<std::pair<std::string, std::vector<std::string>>>* result) {
  std::vector<std::string> flags;
  for (const CLI::Option* option : app->get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  result->emplace_back(path, std::move(flags));
  for (const CLI::App* sub : app->get_subcommands([](const CLI::App*) { return true; })) {
    Collect(sub, path.empty() ? sub->get_name() : path + " " + sub->get_name(), result);
  }
}

}  // namespace

Command Command::Sub(const std::string& name, const std::string& help) {
  CLI::App* sub = app_->add_subcommand(name, help);
  // Global flags are understood behind the command too.
  sub->fallthrough();
  // A group needs one of its commands; Run() lifts this for what is a command itself.
  sub->require_subcommand(1);
  return {sub, owner_};
}

void Command::Argument(const std::string& name, std::string* value, const std::string& help) {
  app_->add_option(name, *value, help)->required()->type_name("");
}

void Command::Text(const std::string& flag, std::string* value, const std::string& placeholder,
                   const std::string& help, bool required) {
  app_->add_option(flag, *value, help)->type_name(placeholder)->required(required);
}

void Command::Texts(const std::string& flag, std::vector<std::string>* values,
                    const std::string& placeholder, const std::string& help) {
  app_->add_option(flag, *values, help + " (repeatable)")
      ->type_name(placeholder)
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void Command::Number(const std::string& flag, uint32_t* value, const std::string& help) {
  app_->add_option(flag, *value, help)->type_name("N")->capture_default_str();
}

void Command::Flag(const std::string& flag, bool* value, const std::string& help) {
  app_->add_flag(flag, *value, help);
}

void Command::Run(std::function<int(Session&)> run) {
  app_->require_subcommand(0, 0);
  CommandLine* const owner = owner_;
  app_->callback([owner, run = std::move(run)] { owner->run_ = run; });
}

CommandLine::CommandLine()
    : app_(std::make_unique<CLI::App>("Controls the guests of a KVM host through cvm-agentd.",
                                      "cvmctl")) {
  const char* from_environment = std::getenv("CVM_SOCKET");
  options_.socket =
      from_environment != nullptr && *from_environment != '\0' ? from_environment : kDefaultSocket;
  Command root(app_.get(), this);
  app_->require_subcommand(1);
  app_->set_version_flag("--version", "cvmctl " CVM_VERSION, "Show the version");
  root.Text("--socket", &options_.socket, "PATH",
            fmt::format("The agent's socket (CVM_SOCKET, or {})", kDefaultSocket));
  root.Text("--address", &options_.address, "HOST:PORT",
            "The agent's TCP address instead: loopback only, not encrypted");
  root.Text("-o,--output", &options_.output, "FORMAT", "table, json or id (default: table)");
  root.Text("--timeout", &options_.timeout, "DURATION",
            "Give up after this long, waiting included (default: 30s a call, no limit on a wait)");
  root.Flag("-q,--quiet", &options_.quiet, "No progress and no notes on standard error");
  AddInstanceCommands(root);
  AddImageCommands(root);
  AddVolumeCommands(root);
  AddOperationCommands(root);
  AddHostCommands(root);
  AddCompletionCommand(root);
}

CommandLine::~CommandLine() = default;

Invocation CommandLine::Parse(const std::vector<std::string>& arguments, std::ostream& out,
                              std::ostream& err) {
  try {
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app_->parse(std::move(reversed));
  } catch (const CLI::Success& asked) {
    app_->exit(asked, out, err);
    return {.exit_code = out.good() ? kExitOk : kExitInternal, .run = nullptr};
  } catch (const CLI::ParseError& error) {
    const std::string text =
        fmt::format("{}; see '{} --help'", error.what(), PathOf(Named(app_.get())));
    const absl::Status status = absl::InvalidArgumentError(text);
    err << (WantsJson(arguments) ? ErrorJson(status) : ErrorText(status)) << std::endl;
    return {.exit_code = kExitUsage, .run = nullptr};
  }
  return {.exit_code = kExitOk, .run = run_};
}

std::vector<std::pair<std::string, std::vector<std::string>>> CommandLine::LongFlags() const {
  std::vector<std::pair<std::string, std::vector<std::string>>> result;
  Collect(app_.get(), "", &result);
  return result;
}

}  // namespace cvm::cli
