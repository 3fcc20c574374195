// SPDX-License-Identifier: Apache-2.0
//
// Each action in each state: what the table says is what the manager does, what GetInstance lists,
// and what the documentation shows.
#include "agent/core/action_policy.h"

#include <algorithm>
#include <functional>
#include <map>
#include <string>

#include "agent/core/derive_state.h"
#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using ::testing::HasSubstr;
using v1::ObservedPower;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
// Of "rescue".
constexpr char kHash[] =
    "$6$saltsalt$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

template <class Request>
Request For(bool validate_only) {
  Request request;
  request.set_instance_id(kId);
  request.set_validate_only(validate_only);
  return request;
}

class ActionPolicyTest : public ::testing::Test {
 protected:
  ActionPolicyTest() : agent_([](Config& config) { config.rescue.image_id = "img-base0000"; }) {
    agent_.ImportBase();
    agent_.MakeInstance(kId);
  }

  // A dry run of each action of the table.
  absl::Status Ask(Operation::Action action) {
    InstanceManager& manager = agent_.instances();
    const Caller& caller = agent_.caller;
    switch (action) {
      case Operation::START_INSTANCE:
        return manager.Start(caller, For<v1::StartInstanceRequest>(true)).status();
      case Operation::STOP_INSTANCE:
        return manager.Stop(caller, For<v1::StopInstanceRequest>(true)).status();
      case Operation::REBOOT_INSTANCE:
        return manager.Reboot(caller, For<v1::RebootInstanceRequest>(true)).status();
      case Operation::DELETE_INSTANCE:
        return manager.Delete(caller, For<v1::DeleteInstanceRequest>(true)).status();
      case Operation::RESIZE_INSTANCE: {
        auto request = For<v1::ResizeInstanceRequest>(true);
        request.set_vcpus(1);
        request.set_force_stop(true);
        return manager.Resize(caller, request).status();
      }
      case Operation::REINSTALL_INSTANCE: {
        auto request = For<v1::ReinstallInstanceRequest>(true);
        request.set_force_stop(true);
        return manager.Reinstall(caller, request).status();
      }
      case Operation::ENTER_RESCUE: {
        auto request = For<v1::EnterRescueRequest>(true);
        request.mutable_login()->set_password_hash(kHash);
        request.set_force_stop(true);
        return manager.EnterRescue(caller, request).status();
      }
      case Operation::EXIT_RESCUE:
        return manager.ExitRescue(caller, For<v1::ExitRescueRequest>(true)).status();
      case Operation::RESTORE_INSTANCE:
        return manager.Restore(caller, For<v1::RestoreInstanceRequest>(true)).status();
      case Operation::UPDATE_INSTANCE: {
        auto request = For<v1::UpdateInstanceRequest>(true);
        request.mutable_update_mask()->add_paths("owner");
        return manager.Update(caller, request).status();
      }
      default:
        ADD_FAILURE() << Operation::Action_Name(action) << " has no call here";
        return absl::OkStatus();
    }
  }

  // Writes the instance down as it would be in that state.
  void PutInto(v1::InstanceState state) {
    LedgerChange change;
    change.UpdateInstance(kId, [state](v1::Instance& instance) {
      instance.set_lifecycle(state == v1::SHUTDOWN        ? v1::LIFECYCLE_RECYCLED
                             : state == v1::LAUNCH_FAILED ? v1::LIFECYCLE_LAUNCH_FAILED
                                                          : v1::LIFECYCLE_PRESENT);
      instance.clear_rescue();
      if (state == v1::RESCUE) instance.mutable_rescue()->set_image_id("img-base0000");
      ObservedPower& power = *instance.mutable_observed_power();
      power.set_state(state == v1::RUNNING   ? ObservedPower::RUNNING
                      : state == v1::PAUSED  ? ObservedPower::PAUSED
                      : state == v1::UNKNOWN ? ObservedPower::UNKNOWN
                                             : ObservedPower::STOPPED);
    });
    ASSERT_TRUE(agent_.ledger().Commit(change).ok());
    ASSERT_EQ(agent_.StateOf(kId), state);
  }

  std::map<Operation::Action, std::string> Denied() {
    std::map<Operation::Action, std::string> reasons;
    for (const v1::DeniedAction& denied : agent_.instances().Denied(*agent_.Find(kId))) {
      EXPECT_FALSE(denied.message().empty());
      reasons[denied.action()] = denied.reason();
    }
    return reasons;
  }

  AgentHarness agent_;
};

TEST_F(ActionPolicyTest, TheManagerAndTheListFollowTheTableInEveryState) {
  for (const v1::InstanceState state : {v1::RUNNING, v1::PAUSED, v1::STOPPED, v1::RESCUE,
                                        v1::SHUTDOWN, v1::LAUNCH_FAILED, v1::UNKNOWN}) {
    PutInto(state);
    if (HasFatalFailure()) return;
    const auto denied = Denied();
    for (const Operation::Action action : PolicyActions()) {
      SCOPED_TRACE(v1::InstanceState_Name(state) + " " + Operation::Action_Name(action));
      const auto& allowed = AllowedStates(action);
      const absl::Status status = Ask(action);
      if (std::find(allowed.begin(), allowed.end(), state) != allowed.end()) {
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_FALSE(denied.contains(action));
        continue;
      }
      EXPECT_EQ(ReasonOf(status), state == v1::UNKNOWN
                                      ? ErrorReason::ERROR_REASON_STATE_UNKNOWN
                                      : ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
      ASSERT_TRUE(denied.contains(action));
      EXPECT_EQ(denied.at(action), ReasonName(ReasonOf(status)));
    }
  }
}

TEST_F(ActionPolicyTest, ABusyInstanceRefusesEverythingButAHardStopOfASoftOne) {
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf(kId), true).ok());
  auto soft = For<v1::StopInstanceRequest>(false);
  soft.set_mode(v1::STOP_MODE_SOFT);
  ASSERT_TRUE(agent_.instances().Stop(agent_.caller, soft).ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return agent_.StateOf(kId) == v1::STOPPING; }));
  const auto denied = Denied();
  for (const Operation::Action action : PolicyActions()) {
    SCOPED_TRACE(Operation::Action_Name(action));
    EXPECT_EQ(ReasonOf(Ask(action)), ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
    if (action == Operation::STOP_INSTANCE) {
      EXPECT_FALSE(denied.contains(action));
    } else {
      ASSERT_TRUE(denied.contains(action));
      EXPECT_EQ(denied.at(action), "OPERATION_IN_PROGRESS");
    }
  }
  auto hard = For<v1::StopInstanceRequest>(false);
  hard.set_mode(v1::STOP_MODE_HARD);
  EXPECT_EQ(agent_.Run(agent_.instances().Stop(agent_.caller, hard)).state(), Operation::SUCCESS);
}

TEST_F(ActionPolicyTest, ProtectionAndAMissingDomainAreReasonsOfTheirOwn) {
  PutInto(v1::STOPPED);
  LedgerChange change;
  change.UpdateInstance(kId, [](v1::Instance& instance) {
    instance.mutable_spec()->set_termination_protection(true);
    instance.mutable_observed_power()->set_state(ObservedPower::ABSENT);
  });
  ASSERT_TRUE(agent_.ledger().Commit(change).ok());
  const auto denied = Denied();
  EXPECT_EQ(denied.at(Operation::DELETE_INSTANCE), "TERMINATION_PROTECTED");
  EXPECT_EQ(denied.at(Operation::START_INSTANCE), "DOMAIN_NOT_FOUND");
  EXPECT_EQ(denied.at(Operation::STOP_INSTANCE), "INVALID_INSTANCE_STATE");
  EXPECT_FALSE(denied.contains(Operation::UPDATE_INSTANCE));
  EXPECT_EQ(ReasonOf(Ask(Operation::START_INSTANCE)), ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
}

TEST(ActionTableTest, TheDocumentationShowsIt) {
  const absl::StatusOr<std::string> text = ReadFile("docs/actions.md", 1 << 20);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr(RenderActionTable()));
}

TEST(ActionTableTest, AnActionThatItDoesNotKnowIsAnError) {
  EXPECT_EQ(ReasonOf(CheckAction(v1::Instance(), Operation::IMPORT_IMAGE, "")),
            ErrorReason::ERROR_REASON_INTERNAL);
  EXPECT_TRUE(AllowedStates(Operation::IMPORT_IMAGE).empty());
}

}  // namespace
}  // namespace cvm::agent::core
