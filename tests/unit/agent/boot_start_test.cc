// SPDX-License-Identifier: Apache-2.0
//
// After a boot of the host, the guests that were meant to be on are started: those, and only then.
#include "agent/core/boot_start.h"

#include <algorithm>

#include "agent/core/derive_state.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using v1::Operation;

class BootStartTest : public ::testing::Test {
 protected:
  BootStartTest() {
    agent_.ImportBase();
    NoteBoot("boot-1");
  }

  // As the app does it at the start of the agent.
  void NoteBoot(const std::string& boot_id) {
    boot_ = std::make_unique<BootStart>(
        agent_.core(), boot_id, [this](const v1::StartInstanceRequest& request) {
          submitted_.push_back(request.instance_id());
          return agent_.instances().Start({.scope = "agent"}, request);
        });
    ASSERT_TRUE(boot_->NoteBoot().ok());
  }

  // All guests are off, and the agent is started anew.
  void RebootHost(const std::string& boot_id) {
    boot_ = nullptr;
    agent_.Crash();
    for (const hypervisor::DomainStatus& domain : agent_.host->Domains()) {
      if (domain.state == hypervisor::PowerState::kStopped) continue;
      ASSERT_TRUE(agent_.host->GuestIsKilled(domain.uuid).ok());
    }
    agent_.Restart();
    NoteBoot(boot_id);
  }

  // Ticks until nothing is left to start, and all that was started has ended.
  void StartAll() {
    for (int i = 0; i < 200 && boot_->Tick(); ++i) {
      EndAll();
      agent_.Advance(absl::Seconds(1));
    }
    EndAll();
    EXPECT_THAT(BootStartsLeft(agent_.ledger()), IsEmpty());
  }
  void EndAll() {
    EXPECT_TRUE(agent_.WaitFor([&] { return agent_.engine().ActiveCount() == 0; }));
    agent_.Settle();
  }

  // A running instance with this stop order.
  void Make(const std::string& id, const std::string& order) {
    v1::CreateInstanceRequest request = agent_.CreateRequest(id);
    (*request.mutable_spec()->mutable_tags())["cvm.stop-order"] = order;
    EXPECT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
              Operation::SUCCESS);
    agent_.Settle();
    agent_.clock.Advance(absl::Seconds(1));
  }

  AgentHarness agent_;
  std::unique_ptr<BootStart> boot_;
  std::vector<std::string> submitted_;
};

TEST_F(BootStartTest, StartsThoseThatWereMeantToBeOn) {
  agent_.MakeInstance("ins-00000001");
  agent_.MakeInstance("ins-00000002", false);
  agent_.MakeInstance("ins-00000003");
  v1::DeleteInstanceRequest recycle;
  recycle.set_instance_id("ins-00000003");
  *recycle.mutable_recycle_period() = ToProtoDuration(absl::Hours(1));
  agent_.Run(agent_.instances().Delete(agent_.caller, recycle));

  RebootHost("boot-2");
  EXPECT_THAT(BootStartsLeft(agent_.ledger()), ElementsAre("ins-00000001"));
  StartAll();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
  EXPECT_EQ(agent_.StateOf("ins-00000002"), v1::STOPPED);
  EXPECT_EQ(agent_.StateOf("ins-00000003"), v1::SHUTDOWN);
  const Operation operation = agent_.Find("ins-00000001")->latest_operation();
  EXPECT_EQ(operation.action(), Operation::START_INSTANCE);
  EXPECT_EQ(operation.request_id(), "boot-boot-2-ins-00000001");
}

TEST_F(BootStartTest, ARestartOfTheAgentOrOfLibvirtStartsNothing) {
  agent_.MakeInstance("ins-00000001");
  ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf("ins-00000001")).ok());
  RebootHost("boot-1");
  EXPECT_FALSE(boot_->Tick());
  agent_.host->Disconnect();
  agent_.host->Reconnect();
  agent_.Settle();
  EXPECT_FALSE(boot_->Tick());
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::STOPPED);
  EXPECT_THAT(submitted_, IsEmpty());
}

TEST_F(BootStartTest, TheFirstBootThatIsNotedStartsNothing) {
  AgentHarness fresh;
  fresh.ImportBase();
  fresh.MakeInstance("ins-00000001");
  BootStart boot(fresh.core(), "boot-9", [](const auto&) -> absl::StatusOr<Operation> {
    return absl::InternalError("must not be called");
  });
  ASSERT_TRUE(boot.NoteBoot().ok());
  EXPECT_FALSE(boot.Tick());
  EXPECT_EQ(fresh.ledger().settings().Get(kBootIdSetting), "boot-9");
}

TEST_F(BootStartTest, GoesOnAfterACrashInTheMiddleAndStartsEachOnce) {
  for (const char* id : {"ins-00000001", "ins-00000002", "ins-00000003"}) {
    agent_.MakeInstance(id);
    agent_.clock.Advance(absl::Seconds(1));
  }
  RebootHost("boot-2");
  // One is taken; then the agent is killed.
  EXPECT_TRUE(boot_->Tick());
  ASSERT_THAT(submitted_, ElementsAre("ins-00000001"));
  boot_ = nullptr;
  agent_.Restart();
  NoteBoot("boot-2");
  EXPECT_THAT(BootStartsLeft(agent_.ledger()), ElementsAre("ins-00000002", "ins-00000003"));
  StartAll();
  EXPECT_THAT(submitted_, ElementsAre("ins-00000001", "ins-00000002", "ins-00000003"));
  for (const char* id : {"ins-00000001", "ins-00000002", "ins-00000003"}) {
    EXPECT_EQ(agent_.StateOf(id), v1::RUNNING);
    EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(id)), 2);
  }
}

TEST_F(BootStartTest, AKillBeforeAStartIsNotedGivesTheSameOperation) {
  agent_.MakeInstance("ins-00000001");
  RebootHost("boot-2");
  boot_->Tick();
  EndAll();
  const std::string operation = agent_.Find("ins-00000001")->latest_operation().id();
  // As if the list had not been written, and the guest gone off again.
  LedgerChange change;
  change.put_settings.emplace_back(kBootStartsSetting, "ins-00000001");
  ASSERT_TRUE(agent_.ledger().Commit(change).ok());
  ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf("ins-00000001")).ok());
  agent_.Settle();
  NoteBoot("boot-2");
  StartAll();
  EXPECT_EQ(agent_.Find("ins-00000001")->latest_operation().id(), operation);
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf("ins-00000001")), 2);
}

TEST_F(BootStartTest, IsStaggered) {
  agent_.config.operations.boot_start_parallel = 2;
  agent_.config.operations.boot_start_delay = absl::Seconds(5);
  for (int i = 1; i <= 4; ++i) agent_.MakeInstance("ins-0000000" + std::to_string(i));
  RebootHost("boot-2");
  const int calls = agent_.host->Calls(FakeMethod::kStartDomain);
  agent_.host->HangNext(FakeMethod::kStartDomain);
  boot_->Tick();
  EXPECT_EQ(submitted_.size(), 1u);
  agent_.Advance(absl::Seconds(4));
  boot_->Tick();
  EXPECT_EQ(submitted_.size(), 1u) << "not sooner than the delay";
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kStartDomain));
  agent_.host->HangNext(FakeMethod::kStartDomain);
  agent_.Advance(absl::Seconds(1));
  boot_->Tick();
  EXPECT_EQ(submitted_.size(), 2u);
  agent_.Advance(absl::Seconds(5));
  boot_->Tick();
  EXPECT_EQ(submitted_.size(), 2u) << "two are under way";
  ASSERT_TRUE(
      agent_.WaitFor([&] { return agent_.host->Calls(FakeMethod::kStartDomain) == calls + 2; }));
  agent_.host->ReleaseHung(FakeMethod::kStartDomain, hypervisor::HungOutcome::kAnswered);
  StartAll();
  EXPECT_EQ(submitted_.size(), 4u);
}

TEST_F(BootStartTest, StartsInTheOppositeOrderOfTheStop) {
  Make("ins-0000000a", "0");
  Make("ins-0000000b", "10");
  Make("ins-0000000c", "-5");
  Make("ins-0000000d", "0");
  Make("ins-0000000e", "first");  // counts as 0
  RebootHost("boot-2");
  StartAll();
  EXPECT_THAT(submitted_, ElementsAre("ins-0000000b", "ins-0000000a", "ins-0000000d",
                                      "ins-0000000e", "ins-0000000c"));
}

TEST_F(BootStartTest, WaitsForTheHypervisorAndForTheEndOfMaintenance) {
  agent_.MakeInstance("ins-00000001");
  v1::SetMaintenanceRequest maintenance;
  maintenance.set_on(true);
  agent_.Run(agent_.hosts().SetMaintenance(agent_.caller, maintenance));
  RebootHost("boot-2");
  EXPECT_TRUE(boot_->Tick());
  EXPECT_THAT(submitted_, IsEmpty());

  agent_.host->Disconnect();
  agent_.Settle();
  ASSERT_EQ(agent_.StateOf("ins-00000001"), v1::UNKNOWN);
  maintenance.set_on(false);
  agent_.Run(agent_.hosts().SetMaintenance(agent_.caller, maintenance));
  EXPECT_TRUE(boot_->Tick());
  EXPECT_THAT(submitted_, IsEmpty()) << "unknown is no reason to act";
  agent_.host->Reconnect();
  agent_.Settle();
  StartAll();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
}

TEST_F(BootStartTest, NeverIsNever) {
  agent_.config.operations.boot_start = "never";
  agent_.MakeInstance("ins-00000001");
  RebootHost("boot-2");
  EXPECT_FALSE(boot_->Tick());
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::STOPPED);
  EXPECT_EQ(agent_.Find("ins-00000001")->wanted_power(), v1::WANTED_POWER_ON);
  // Nor does a change of mind start it in the middle of a boot.
  agent_.config.operations.boot_start = "always";
  RebootHost("boot-2");
  EXPECT_FALSE(boot_->Tick());
  EXPECT_THAT(submitted_, IsEmpty());
}

TEST_F(BootStartTest, LeavesOutWhatIsOnOrNoLongerMeantToBe) {
  agent_.MakeInstance("ins-00000001");
  agent_.MakeInstance("ins-00000002");
  agent_.MakeInstance("ins-00000003");
  RebootHost("boot-2");
  v1::StartInstanceRequest start;
  start.set_instance_id("ins-00000001");
  agent_.Run(agent_.instances().Start(agent_.caller, start));
  v1::DeleteInstanceRequest remove;
  remove.set_instance_id("ins-00000002");
  agent_.Run(agent_.instances().Delete(agent_.caller, remove));
  agent_.Settle();
  StartAll();
  EXPECT_THAT(submitted_, ElementsAre("ins-00000003"));
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf("ins-00000001")), 2);
}

TEST_F(BootStartTest, AStartThatFailsLeavesItMeantToBeOnAndTheOthersAreStarted) {
  agent_.MakeInstance("ins-00000001");
  agent_.clock.Advance(absl::Seconds(1));
  agent_.MakeInstance("ins-00000002");
  RebootHost("boot-2");
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  StartAll();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::STOPPED);
  EXPECT_EQ(agent_.Find("ins-00000001")->latest_operation().state(), Operation::FAILED);
  EXPECT_EQ(agent_.StateOf("ins-00000002"), v1::RUNNING);
  RebootHost("boot-3");
  StartAll();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
}

TEST_F(BootStartTest, WaitsForAnOperationThatWasUnderWay) {
  agent_.MakeInstance("ins-00000001");
  v1::ResizeInstanceRequest resize;
  resize.set_instance_id("ins-00000001");
  resize.set_vcpus(2);
  resize.set_force_stop(true);
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  const auto submitted = agent_.instances().Resize(agent_.caller, resize);
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  RebootHost("boot-2");
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  EXPECT_TRUE(boot_->Tick());
  EXPECT_THAT(submitted_, IsEmpty());
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEndAdvancing(submitted->id()).state(), Operation::SUCCESS);
  agent_.Settle();
  StartAll();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
}

}  // namespace
}  // namespace cvm::agent::core
