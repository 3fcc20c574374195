// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cli/fixture.h"

#include <cstdlib>

namespace cvm::cli {
namespace {

const std::vector<std::string> kEnvironment = {"PATH=/usr/bin:/bin", "TZ=UTC", "TERM=xterm",
                                               "NO_COLOR=1"};

Outcome Finish(Process& process) {
  process.CloseInput();
  const int exit_code = process.Wait();
  return {.exit_code = exit_code, .out = process.out(), .err = process.err()};
}

}  // namespace

CvmctlTest::CvmctlTest() {
  std::string name = (std::filesystem::temp_directory_path() / "cvmctl-XXXXXX").string();
  folder_ = mkdtemp(name.data());
}

CvmctlTest::~CvmctlTest() {
  relay_.reset();
  agent_.reset();
  std::filesystem::remove_all(folder_);
}

std::unique_ptr<Process> CvmctlTest::Start(std::vector<std::string> arguments,
                                           Process::Terminal terminal) {
  if (agent_ == nullptr) {
    agent_ = std::make_unique<FakeAgent>((folder_ / "agent").string(), script_);
    relay_ = std::make_unique<Relay>((folder_ / "relay").string(), (folder_ / "agent").string());
  }
  arguments.insert(arguments.begin(), {CVM_CVMCTL, "--socket", (folder_ / "relay").string()});
  return std::make_unique<Process>(arguments, kEnvironment, terminal);
}

Outcome CvmctlTest::Run(std::vector<std::string> arguments) {
  return Finish(*Start(std::move(arguments)));
}

Outcome CvmctlTest::RunAlone(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), CVM_CVMCTL);
  Process process(arguments, kEnvironment);
  return Finish(process);
}

agent::v1::Operation MakeOperation(agent::v1::Operation::Action action,
                                   const std::string& target_id, agent::v1::Operation::State state,
                                   unsigned percent, const std::string& stage) {
  agent::v1::Operation operation;
  operation.set_id("op-00000001");
  operation.set_action(action);
  operation.set_target_id(target_id);
  operation.set_state(state);
  operation.set_percent(percent);
  operation.set_stage(stage);
  operation.mutable_create_time()->set_seconds(1700000000);
  return operation;
}

}  // namespace cvm::cli
