// SPDX-License-Identifier: Apache-2.0
//
// StopGuests: every guest goes off within the budget, in order, and is still meant to be on.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeCall;
using hypervisor::FakeMethod;
using hypervisor::PowerState;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using v1::Operation;

class StopGuestsTest : public ::testing::Test {
 protected:
  StopGuestsTest() { agent_.ImportBase(); }

  void Make(const std::string& id, const std::string& order = "") {
    v1::CreateInstanceRequest request = agent_.CreateRequest(id);
    if (!order.empty()) (*request.mutable_spec()->mutable_tags())["cvm.stop-order"] = order;
    EXPECT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
              Operation::SUCCESS);
    agent_.Settle();
    agent_.clock.Advance(absl::Seconds(1));
  }

  absl::StatusOr<Operation> Submit(absl::Duration budget = absl::Minutes(4)) {
    v1::StopGuestsRequest request;
    *request.mutable_budget() = ToProtoDuration(budget);
    return agent_.hosts().StopGuests(agent_.caller, request);
  }
  // With the clock going on whenever nothing happens by itself.
  Operation Stop(absl::Duration budget = absl::Minutes(4)) {
    const auto submitted = Submit(budget);
    EXPECT_TRUE(submitted.ok()) << submitted.status();
    if (!submitted.ok()) return {};
    Operation operation = agent_.WaitEndAdvancing(submitted->id());
    agent_.Settle();
    return operation;
  }

  // Notes what the guests are asked from now on, in order, instead of the harness's own hook.
  void NoteCalls() {
    agent_.host->SetHook([this](const FakeCall& call) {
      if (call.done) return absl::OkStatus();
      MutexLock lock(mutex_);
      const InstancePtr instance = agent_.ledger().instances().FindByUuid(call.uuid);
      const std::string id = instance == nullptr ? "" : instance->id();
      if (call.method == FakeMethod::kShutdownDomain) asked_.push_back(id);
      if (call.method == FakeMethod::kDestroyDomain) cut_.push_back(id);
      return absl::OkStatus();
    });
  }
  std::vector<std::string> Asked() {
    MutexLock lock(mutex_);
    return asked_;
  }
  std::vector<std::string> Cut() {
    MutexLock lock(mutex_);
    return cut_;
  }

  AgentHarness agent_;
  Mutex mutex_;
  std::vector<std::string> asked_ CVM_GUARDED_BY(mutex_);
  std::vector<std::string> cut_ CVM_GUARDED_BY(mutex_);
};

TEST_F(StopGuestsTest, StopsAllSoftlyAndTheyAreStillMeantToBeOn) {
  Make("ins-00000001");
  Make("ins-00000002");
  agent_.MakeInstance("ins-00000003", false);
  NoteCalls();
  const Operation operation = Stop();
  EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  EXPECT_EQ(operation.target_id(), "host");
  EXPECT_THAT(Asked(), UnorderedElementsAre("ins-00000001", "ins-00000002"));
  EXPECT_THAT(Cut(), ElementsAre());
  for (const char* id : {"ins-00000001", "ins-00000002"}) {
    EXPECT_EQ(agent_.StateOf(id), v1::STOPPED);
    EXPECT_EQ(agent_.Find(id)->wanted_power(), v1::WANTED_POWER_ON);
  }
  EXPECT_EQ(agent_.Find("ins-00000003")->wanted_power(), v1::WANTED_POWER_OFF);
  agent_.ExpectNothingLeftOver();
  // A second one has nothing to do.
  EXPECT_EQ(agent_.Run(Submit()).state(), Operation::SUCCESS);
}

TEST_F(StopGuestsTest, GoesByTheTagAndThenTheNewestFirst) {
  agent_.config.operations.stop_parallel = 1;
  Make("ins-0000000a");
  Make("ins-0000000b", "7");
  Make("ins-0000000c", "-7");
  Make("ins-0000000d");
  Make("ins-0000000e", "2000");  // out of range: counts as 0
  NoteCalls();
  EXPECT_EQ(Stop().state(), Operation::SUCCESS);
  EXPECT_THAT(Asked(), ElementsAre("ins-0000000c", "ins-0000000e", "ins-0000000d", "ins-0000000a",
                                   "ins-0000000b"));
}

TEST_F(StopGuestsTest, AGuestThatIgnoresItIsCutOffAtItsShareAndTheOthersAreAskedAllTheSame) {
  agent_.config.operations.stop_parallel = 1;
  Make("ins-00000001");
  Make("ins-00000002");
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf("ins-00000002"), true).ok());
  NoteCalls();
  const absl::Time before = agent_.clock.Now();
  EXPECT_EQ(Stop(absl::Seconds(60)).state(), Operation::SUCCESS);
  const absl::Duration took = agent_.clock.Now() - before;
  EXPECT_GE(took, absl::Seconds(30)) << "the guest had its share";
  EXPECT_LT(took, absl::Seconds(60)) << "and the other one did not need its own";
  EXPECT_THAT(Cut(), ElementsAre("ins-00000002"));
  EXPECT_EQ(Asked().back(), "ins-00000001");
  // It was asked again and again: it may have been booting.
  EXPECT_GE(Asked().size(), 3u);
  EXPECT_EQ(agent_.StateOf("ins-00000002"), v1::STOPPED);
  EXPECT_EQ(agent_.Find("ins-00000002")->wanted_power(), v1::WANTED_POWER_ON);
}

TEST_F(StopGuestsTest, ThoseOfOneBatchAreAskedTogether) {
  Make("ins-00000001");
  Make("ins-00000002");
  for (const char* id : {"ins-00000001", "ins-00000002"}) {
    ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf(id), true).ok());
  }
  NoteCalls();
  const auto submitted = Submit();
  ASSERT_TRUE(submitted.ok());
  EXPECT_TRUE(agent_.WaitFor([&] { return Asked().size() == 2; }));
  for (const char* id : {"ins-00000001", "ins-00000002"}) {
    ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf(id)).ok());
  }
  // By the event of the guests' end alone: the clock stands still.
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(StopGuestsTest, TheBudgetOutlivesARestartOfTheAgent) {
  Make("ins-00000001");
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf("ins-00000001"), true).ok());
  const auto submitted = Submit(absl::Seconds(60));
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return agent_.host->Calls(FakeMethod::kShutdownDomain) == 1; }));
  agent_.Crash();
  agent_.clock.Advance(absl::Seconds(61));
  agent_.Restart();
  EXPECT_EQ(agent_.WaitEndAdvancing(submitted->id()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.DomainStateOf("ins-00000001"), PowerState::kStopped);
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kShutdownDomain), 1);
}

TEST_F(StopGuestsTest, AGuestThatCannotBeTurnedOffIsNamed) {
  Make("ins-00000001");
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf("ins-00000001"), true).ok());
  agent_.host->FailNext(FakeMethod::kDestroyDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "busy"), 1000);
  const Operation operation = Stop(absl::Seconds(10));
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_NE(operation.error().message().find("ins-00000001"), std::string::npos);
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
}

TEST_F(StopGuestsTest, DoesNotTakeTheUnknownForOff) {
  Make("ins-00000001");
  agent_.host->Disconnect();
  agent_.Settle();
  EXPECT_EQ(ReasonOf(Submit().status()), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  agent_.host->Reconnect();
  agent_.Settle();
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf("ins-00000001"), true).ok());
  const auto submitted = Submit();
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return agent_.host->Calls(FakeMethod::kShutdownDomain) == 1; }));
  agent_.host->Disconnect();
  const Operation operation = agent_.WaitEndAdvancing(submitted->id());
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
}

TEST_F(StopGuestsTest, IsCancelledAndAsksNoFurtherGuest) {
  agent_.config.operations.stop_parallel = 1;
  Make("ins-00000001");
  Make("ins-00000002");
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf("ins-00000002"), true).ok());
  const auto submitted = Submit();
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return agent_.host->Calls(FakeMethod::kShutdownDomain) == 1; }));
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  EXPECT_EQ(ReasonOf(agent_.WaitEnd(submitted->id())),
            ErrorReason::ERROR_REASON_OPERATION_CANCELLED);
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
  EXPECT_EQ(agent_.StateOf("ins-00000002"), v1::RUNNING);
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kShutdownDomain), 1);
}

TEST_F(StopGuestsTest, IsOneAtATimeAndTakesTheConfiguredBudget) {
  agent_.config.operations.stop_guests_budget = absl::Seconds(20);
  Make("ins-00000001");
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf("ins-00000001"), true).ok());
  const absl::Time before = agent_.clock.Now();
  const auto submitted = agent_.hosts().StopGuests(agent_.caller, {});
  ASSERT_TRUE(submitted.ok());
  EXPECT_EQ(ReasonOf(Submit().status()), ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
  EXPECT_EQ(agent_.WaitEndAdvancing(submitted->id()).state(), Operation::SUCCESS);
  EXPECT_GE(agent_.clock.Now() - before, absl::Seconds(20));
  EXPECT_LE(agent_.clock.Now() - before, absl::Seconds(30));
}

TEST_F(StopGuestsTest, RefusesABudgetOutOfRange) {
  for (const absl::Duration wrong : {absl::ZeroDuration(), absl::Hours(2), -absl::Seconds(1)}) {
    EXPECT_EQ(ReasonOf(Submit(wrong).status()), ErrorReason::ERROR_REASON_INVALID_FIELD);
  }
}

}  // namespace
}  // namespace cvm::agent::core
