// SPDX-License-Identifier: Apache-2.0
//
// What the cancel of each workflow leaves: what was there before.
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using hypervisor::HungOutcome;
using hypervisor::PowerState;
using v1::Operation;

constexpr char kId[] = "ins-00000001";

class CancelTest : public ::testing::Test {
 protected:
  CancelTest() { agent_.ImportBase(); }

  template <class Request>
  static Request For() {
    Request request;
    request.set_instance_id(kId);
    return request;
  }

  // Cancels the operation while `method` is under way, and returns its end.
  template <class Submit>
  Operation CancelWithin(FakeMethod method, Submit submit) {
    agent_.host->HangNext(method);
    const absl::StatusOr<Operation> submitted = submit();
    EXPECT_TRUE(submitted.ok()) << submitted.status();
    if (!submitted.ok()) return {};
    EXPECT_TRUE(agent_.host->WaitForHung(method));
    EXPECT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
    agent_.host->ReleaseHung(method, HungOutcome::kAnswered);
    Operation operation = agent_.WaitEnd(submitted->id());
    agent_.Settle();
    EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_OPERATION_CANCELLED)
        << operation.ShortDebugString();
    agent_.ExpectNothingLeftOver();
    return operation;
  }

  absl::StatusOr<Operation> Delete(absl::Duration period = absl::ZeroDuration()) {
    auto request = For<v1::DeleteInstanceRequest>();
    *request.mutable_recycle_period() = ToProtoDuration(period);
    return agent_.instances().Delete(agent_.caller, request);
  }
  void ExpectOn() {
    EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
    EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kRunning);
    EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
  }

  AgentHarness agent_;
};

TEST_F(CancelTest, CreateLeavesOnlyItsRecord) {
  CancelWithin(FakeMethod::kDefineDomain, [&] {
    return agent_.instances().Create(agent_.caller, agent_.BigCreateRequest(kId));
  });
  EXPECT_EQ(agent_.StateOf(kId), v1::LAUNCH_FAILED);
  EXPECT_TRUE(agent_.host->Domains().empty());
}

TEST_F(CancelTest, StartTurnsTheGuestOffAgain) {
  agent_.MakeInstance(kId, false);
  const auto operation = [&] {
    return agent_.instances().Start(agent_.caller, For<v1::StartInstanceRequest>());
  };
  // The guest was started, and nobody heard of it.
  agent_.host->HangNext(FakeMethod::kStartDomain);
  const auto submitted = operation();
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kStartDomain));
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  agent_.host->ReleaseHung(FakeMethod::kStartDomain, HungOutcome::kTimedOutDone);
  EXPECT_EQ(ReasonOf(agent_.WaitEnd(submitted->id())),
            ErrorReason::ERROR_REASON_OPERATION_CANCELLED);
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kStopped);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);
}

TEST_F(CancelTest, StartOfOneThatWasMeantToBeOnLeavesItMeantSo) {
  agent_.MakeInstance(kId);
  ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf(kId)).ok());
  agent_.Settle();
  agent_.host->HangNext(FakeMethod::kStartDomain);
  const auto submitted = agent_.instances().Start(agent_.caller, For<v1::StartInstanceRequest>());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kStartDomain));
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  agent_.host->ReleaseHung(FakeMethod::kStartDomain, HungOutcome::kTimedOut);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::FAILED);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
}

TEST_F(CancelTest, SoftStopAndSoftRebootLeaveTheGuestOn) {
  agent_.MakeInstance(kId);
  ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf(kId), true).ok());
  ASSERT_TRUE(agent_.host->IgnoreReboot(agent_.UuidOf(kId), true).ok());
  CancelWithin(FakeMethod::kShutdownDomain, [&] {
    return agent_.instances().Stop(agent_.caller, For<v1::StopInstanceRequest>());
  });
  ExpectOn();
  CancelWithin(FakeMethod::kRebootDomain, [&] {
    return agent_.instances().Reboot(agent_.caller, For<v1::RebootInstanceRequest>());
  });
  ExpectOn();
}

TEST_F(CancelTest, ResizeBringsTheOldGuestBack) {
  agent_.MakeInstance(kId);
  for (const FakeMethod method : {FakeMethod::kDestroyDomain, FakeMethod::kDefineDomain}) {
    CancelWithin(method, [&] {
      auto request = For<v1::ResizeInstanceRequest>();
      request.set_vcpus(2);
      request.set_force_stop(true);
      return agent_.instances().Resize(agent_.caller, request);
    });
    ExpectOn();
    EXPECT_EQ(agent_.Find(kId)->spec().vcpus(), 1u);
    EXPECT_EQ(agent_.host->FindSpec(agent_.UuidOf(kId))->vcpus, 1u);
  }
}

TEST_F(CancelTest, DeleteBeforeItsPointOfNoReturnTurnsTheGuestOnAgain) {
  agent_.MakeInstance(kId);
  for (const absl::Duration period : {absl::ZeroDuration(), absl::Hours(1)}) {
    agent_.host->HangNext(FakeMethod::kDestroyDomain);
    const auto submitted = Delete(period);
    ASSERT_TRUE(submitted.ok());
    ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDestroyDomain));
    ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
    // The power was cut, and nobody heard of it.
    agent_.host->ReleaseHung(FakeMethod::kDestroyDomain, HungOutcome::kTimedOutDone);
    EXPECT_EQ(ReasonOf(agent_.WaitEnd(submitted->id())),
              ErrorReason::ERROR_REASON_OPERATION_CANCELLED);
    agent_.Settle();
    ExpectOn();
    EXPECT_EQ(agent_.Find(kId)->lifecycle(), v1::LIFECYCLE_PRESENT);
    agent_.ExpectNothingLeftOver();
  }
}

TEST_F(CancelTest, DeleteOfAGuestThatIsOffLeavesItOff) {
  agent_.MakeInstance(kId, false);
  agent_.host->HangNext(FakeMethod::kDestroyDomain);
  const auto submitted = Delete();
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDestroyDomain));
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  agent_.host->ReleaseHung(FakeMethod::kDestroyDomain, HungOutcome::kTimedOut);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::FAILED);
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);
}

TEST_F(CancelTest, DeletePastItsPointOfNoReturnRefuses) {
  agent_.MakeInstance(kId);
  agent_.host->HangNext(FakeMethod::kUndefineDomain);
  const auto submitted = Delete();
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kUndefineDomain));
  EXPECT_EQ(ReasonOf(agent_.engine().Cancel(submitted->id(), false).status()),
            ErrorReason::ERROR_REASON_OPERATION_NOT_CANCELLABLE);
  agent_.host->ReleaseHung(FakeMethod::kUndefineDomain, HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
}

TEST_F(CancelTest, UpdateLeavesTheOldDefinition) {
  agent_.MakeInstance(kId);
  const std::string before = agent_.host->FindSpec(agent_.UuidOf(kId))->metadata;
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  auto request = For<v1::UpdateInstanceRequest>();
  request.set_owner("another");
  request.mutable_update_mask()->add_paths("owner");
  const auto submitted = agent_.instances().Update(agent_.caller, request);
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, HungOutcome::kTimedOutDone);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::FAILED);
  EXPECT_EQ(agent_.host->FindSpec(agent_.UuidOf(kId))->metadata, before);
  EXPECT_TRUE(agent_.Find(kId)->owner().empty());
}

}  // namespace
}  // namespace cvm::agent::core
