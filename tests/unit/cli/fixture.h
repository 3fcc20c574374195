// SPDX-License-Identifier: Apache-2.0
//
// cvmctl itself, run against an agent whose answers the test writes.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cvm/agent/v1/operation.pb.h"
#include "gtest/gtest.h"
#include "tests/unit/cli/fake_agent.h"
#include "tests/unit/cli/process.h"
#include "tests/unit/cli/relay.h"

namespace cvm::cli {

struct Outcome {
  int exit_code;
  std::string out;
  std::string err;
};

class CvmctlTest : public ::testing::Test {
 protected:
  CvmctlTest();
  ~CvmctlTest() override;

  // Starts the agent on its first use: write the script before.
  std::unique_ptr<Process> Start(std::vector<std::string> arguments,
                                 Process::Terminal terminal = Process::Terminal::kNone);
  // Runs to the end, with an empty standard input.
  Outcome Run(std::vector<std::string> arguments);
  // Without an agent.
  Outcome RunAlone(std::vector<std::string> arguments);

  std::filesystem::path folder_;
  Script script_;
  // The connections of cvmctl go through it.
  std::unique_ptr<Relay> relay_;

 private:
  std::unique_ptr<FakeAgent> agent_;
};

// An operation "op-00000001" in this state.
agent::v1::Operation MakeOperation(agent::v1::Operation::Action action,
                                   const std::string& target_id, agent::v1::Operation::State state,
                                   unsigned percent = 0, const std::string& stage = "");

}  // namespace cvm::cli
