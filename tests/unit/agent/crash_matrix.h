// SPDX-License-Identifier: Apache-2.0
//
// Kills the agent at every instant that matters of a workflow, starts it again, and looks whether
// what it then says of the operation is what is true of the host.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {

class CrashMatrixTest : public ::testing::Test {
 protected:
  using Operation = v1::Operation;
  using PowerState = hypervisor::PowerState;
  using Submit = std::function<absl::StatusOr<Operation>(const std::string& request_id)>;

  static constexpr char kId[] = "ins-00000001";

  // `configure` changes the configuration before the agent starts.
  explicit CrashMatrixTest(const std::function<void(Config&)>& configure = nullptr)
      : agent_(configure) {
    agent_.ImportBase();
  }

  // For every site: `prepare`, the operation with a crash at the site, a restart, `check` with the
  // ended operation.
  void ForEverySite(const std::function<void()>& prepare, const Submit& submit,
                    const std::function<void(const Operation&)>& check, size_t at_least) {
    size_t sites = 0;
    bool reached = true;
    for (size_t site = 0; reached; ++site) {
      prepare();
      if (HasFatalFailure()) return;
      const std::string request_id = "request-" + std::to_string(++requests_);
      agent_.crash_sites.Arm(site);
      const auto submitted = submit(request_id);
      if (!submitted.ok() && agent_.crash_sites.crashed()) {
        // Killed before anything was written down: it never happened.
        agent_.crash_sites.Disarm();
        agent_.Restart();
        agent_.ExpectNothingLeftOver();
        sites = site + 1;
        continue;
      }
      ASSERT_TRUE(submitted.ok()) << submitted.status();
      reached = agent_.WaitCrashOrEnd(submitted->id());
      const std::vector<std::string> passed = agent_.crash_sites.passed();
      agent_.crash_sites.Disarm();
      SCOPED_TRACE(reached ? passed.back() : "no crash");
      if (reached) {
        ASSERT_EQ(passed.size(), site + 1);
        agent_.Restart();
        sites = site + 1;
      }
      const Operation operation = agent_.WaitEndAdvancing(submitted->id());
      EXPECT_NE(operation.state(), Operation::OPERATING);
      agent_.ExpectNothingLeftOver();
      check(operation);
      // The client that had no answer asks again.
      const auto replay = submit(request_id);
      ASSERT_TRUE(replay.ok()) << replay.status();
      EXPECT_EQ(replay->id(), operation.id());
      EXPECT_EQ(replay->state(), operation.state());
      if (HasFailure()) return;
    }
    // The sites were really there.
    EXPECT_GE(sites, at_least);
  }

  void DeleteIfThere() {
    if (agent_.Find(kId) == nullptr) return;
    const Operation operation = agent_.Run(Delete(""));
    ASSERT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
    agent_.ExpectNothingLeftOver();
  }

  void MakeRunning() {
    if (agent_.Find(kId) == nullptr) agent_.MakeInstance(kId);
    if (agent_.StateOf(kId) == v1::STOPPED) {
      v1::StartInstanceRequest request;
      request.set_instance_id(kId);
      agent_.Run(agent_.instances().Start(agent_.caller, request));
      agent_.Settle();
    }
    ASSERT_EQ(agent_.StateOf(kId), v1::RUNNING);
  }

  void MakeStopped() {
    if (agent_.Find(kId) == nullptr) agent_.MakeInstance(kId);
    if (agent_.StateOf(kId) == v1::RUNNING) {
      v1::StopInstanceRequest request;
      request.set_instance_id(kId);
      request.set_mode(v1::STOP_MODE_HARD);
      agent_.Run(agent_.instances().Stop(agent_.caller, request));
      agent_.Settle();
    }
    ASSERT_EQ(agent_.StateOf(kId), v1::STOPPED);
  }

  absl::StatusOr<Operation> Create(const std::string& request_id) {
    return agent_.instances().Create(agent_.caller, agent_.BigCreateRequest(kId, request_id));
  }

  absl::StatusOr<Operation> Stop(const std::string& request_id, v1::StopMode mode) {
    v1::StopInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    request.set_mode(mode);
    *request.mutable_timeout() = ToProtoDuration(absl::Hours(1));
    return agent_.instances().Stop(agent_.caller, request);
  }

  absl::StatusOr<Operation> Delete(const std::string& request_id,
                                   absl::Duration recycle_period = absl::ZeroDuration()) {
    v1::DeleteInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    *request.mutable_recycle_period() = ToProtoDuration(recycle_period);
    return agent_.instances().Delete(agent_.caller, request);
  }

  absl::StatusOr<Operation> Resize(const std::string& request_id, uint32_t vcpus) {
    v1::ResizeInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    request.set_vcpus(vcpus);
    request.set_force_stop(true);
    return agent_.instances().Resize(agent_.caller, request);
  }

  void ExpectPower(v1::InstanceState state, PowerState domain) {
    EXPECT_EQ(agent_.StateOf(kId), state);
    EXPECT_EQ(agent_.DomainStateOf(kId), domain);
  }

  AgentHarness agent_;
  int requests_ = 0;
};

}  // namespace cvm::agent::core
