// SPDX-License-Identifier: Apache-2.0
//
// Kills the agent at every instant that matters of a workflow, starts it again, and looks whether
// what it then says of the operation is what is true of the host. Run by tests/crash/with_faults it
// lets each write of the workflow fail instead.
#pragma once

#include <functional>
#include <string>

#include "gtest/gtest.h"
#include "tests/crash/fault_control.h"
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
  // ended operation. With faults.cc loaded, for every write instead: it fails as on a full disk;
  // `check` then only when the operation ends as it does without a fault, else it must have failed.
  void ForEverySite(const std::function<void()>& prepare, const Submit& submit,
                    const std::function<void(const Operation&)>& check, size_t at_least);

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
  // The operation is what tidies up after `prepare`.
  bool begins_untidy_ = false;

 private:
  void ForEveryWrite(faults::Control& faults, const std::function<void()>& prepare,
                     const Submit& submit, const std::function<void(const Operation&)>& check);
};

}  // namespace cvm::agent::core
