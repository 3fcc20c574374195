// SPDX-License-Identifier: Apache-2.0
//
// The recycle period: restored within it, deleted at its end, and by no clock that jumps.
#include "agent/core/recycle_bin.h"

#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::PowerState;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
constexpr absl::Duration kPeriod = absl::Hours(24);

class RecycleTest : public ::testing::Test {
 protected:
  RecycleTest() {
    agent_.ImportBase();
    agent_.MakeInstance(kId);
  }

  Operation Delete(std::optional<absl::Duration> period) {
    v1::DeleteInstanceRequest request;
    request.set_instance_id(kId);
    if (period) *request.mutable_recycle_period() = ToProtoDuration(*period);
    return agent_.Run(agent_.instances().Delete(agent_.caller, request));
  }

  std::unique_ptr<RecycleBin> MakeBin() {
    return std::make_unique<RecycleBin>(agent_.core(), [this](const std::string& id) {
      v1::DeleteInstanceRequest request;
      request.set_instance_id(id);
      auto operation = agent_.instances().Delete({.scope = "agent"}, request);
      if (operation.ok()) agent_.WaitEnd(operation->id());
      return operation;
    });
  }

  // Lets the time pass as it does, with a tick each minute.
  void Pass(RecycleBin& bin, absl::Duration duration) {
    for (; duration > absl::ZeroDuration(); duration -= absl::Minutes(1)) {
      agent_.clock.Advance(absl::Minutes(1));
      bin.Tick();
    }
  }

  AgentHarness agent_;
};

TEST_F(RecycleTest, HoldsAnInstanceUntilItIsRestored) {
  EXPECT_EQ(Delete(kPeriod).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kStopped);
  EXPECT_EQ(FromProtoDuration(agent_.Find(kId)->recycle().length()), kPeriod);
  agent_.ExpectNothingLeftOver();  // its disks are there

  v1::RestoreInstanceRequest restore;
  restore.set_instance_id(kId);
  EXPECT_EQ(agent_.Run(agent_.instances().Restore(agent_.caller, restore)).state(),
            Operation::SUCCESS);
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  EXPECT_FALSE(agent_.Find(kId)->has_recycle());
  v1::StartInstanceRequest start;
  start.set_instance_id(kId);
  EXPECT_EQ(agent_.Run(agent_.instances().Start(agent_.caller, start)).state(), Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
}

TEST_F(RecycleTest, DeletesAtTheEndOfThePeriodAndNotBefore) {
  Delete(kPeriod);
  const auto bin = MakeBin();
  bin->Tick();
  Pass(*bin, kPeriod - absl::Minutes(1));
  ASSERT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  Pass(*bin, absl::Minutes(1));
  EXPECT_EQ(agent_.Find(kId), nullptr);
  EXPECT_TRUE(agent_.host->Domains().empty());
  agent_.ExpectNothingLeftOver();
}

TEST_F(RecycleTest, AWallClockThatJumpsDeletesNothing) {
  Delete(kPeriod);
  const auto bin = MakeBin();
  bin->Tick();
  agent_.clock.JumpWallClock(absl::Hours(24 * 3650));
  Pass(*bin, absl::Hours(1));
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  // Nor does one that was set back: both must say that it is over.
  agent_.clock.JumpWallClock(-absl::Hours(24 * 7300));
  Pass(*bin, kPeriod);
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  agent_.clock.JumpWallClock(absl::Hours(24 * 3650));
  Pass(*bin, absl::Minutes(1));
  EXPECT_EQ(agent_.Find(kId), nullptr);
}

TEST_F(RecycleTest, CountsOnAcrossARestartAndNotWhileTheAgentIsAway) {
  Delete(kPeriod);
  auto bin = MakeBin();
  bin->Tick();
  Pass(*bin, absl::Hours(20));
  bin.reset();
  agent_.Crash();
  agent_.clock.Advance(absl::Hours(48));
  agent_.Restart();
  bin = MakeBin();
  bin->Tick();
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  Pass(*bin, absl::Hours(3));
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  // A little of what was counted may be lost, never gained.
  Pass(*bin, absl::Hours(1) + absl::Minutes(11));
  EXPECT_EQ(agent_.Find(kId), nullptr);
}

TEST_F(RecycleTest, KeepsWhatWasProtectedMeanwhile) {
  Delete(kPeriod);
  v1::UpdateInstanceRequest protect;
  protect.set_instance_id(kId);
  protect.mutable_spec()->set_termination_protection(true);
  protect.mutable_update_mask()->add_paths("spec.termination_protection");
  agent_.Run(agent_.instances().Update(agent_.caller, protect));
  const auto bin = MakeBin();
  bin->Tick();
  Pass(*bin, kPeriod * 2);
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
}

TEST_F(RecycleTest, ASecondDeletionIsAtOnceWhateverItSays) {
  Delete(kPeriod);
  EXPECT_EQ(Delete(kPeriod).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId), nullptr);
  agent_.ExpectNothingLeftOver();
}

TEST_F(RecycleTest, RefusesAPeriodOutOfRange) {
  for (const absl::Duration wrong : {-absl::Seconds(1), absl::Hours(24 * 366)}) {
    v1::DeleteInstanceRequest request;
    request.set_instance_id(kId);
    *request.mutable_recycle_period() = ToProtoDuration(wrong);
    EXPECT_EQ(ReasonOf(agent_.instances().Delete(agent_.caller, request).status()),
              ErrorReason::ERROR_REASON_INVALID_FIELD);
  }
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
}

TEST(RecycleDefaultTest, TheConfiguredPeriodIsForThoseWhoSayNothing) {
  AgentHarness agent([](Config& config) { config.operations.recycle_period = kPeriod; });
  agent.ImportBase();
  for (const char* id : {"ins-00000001", "ins-00000002"}) agent.MakeInstance(id);
  v1::DeleteInstanceRequest request;
  request.set_instance_id("ins-00000001");
  agent.Run(agent.instances().Delete(agent.caller, request));
  EXPECT_EQ(agent.StateOf("ins-00000001"), v1::SHUTDOWN);
  request.set_instance_id("ins-00000002");
  *request.mutable_recycle_period() = ToProtoDuration(absl::ZeroDuration());
  agent.Run(agent.instances().Delete(agent.caller, request));
  EXPECT_EQ(agent.Find("ins-00000002"), nullptr);
}

}  // namespace
}  // namespace cvm::agent::core
