// SPDX-License-Identifier: Apache-2.0
//
// What the fake adds to the contract: faults, hung calls, hooks, a host that outlives its agents.
#include "drivers/hypervisor/fake/fake_hypervisor.h"

#include <thread>

#include "common/errors.h"
#include "gtest/gtest.h"
#include "tests/unit/drivers/hypervisor/domain_specs.h"

namespace cvm::hypervisor {
namespace {

constexpr ErrorReason kUnavailable = ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE;
using Kind = HypervisorEvent::Kind;

class FakeHypervisorTest : public testing::Test {
 protected:
  void SetUp() override {
    hypervisor_ = std::make_unique<FakeHypervisor>(host_);
    hypervisor_->Start([this](const HypervisorEvent& event) { events_.push_back(event); });
    ASSERT_EQ(hypervisor_->DefineDomain(spec_), absl::OkStatus());
    Settle();
  }
  void Settle() {
    hypervisor_->WaitIdle();
    seen_.swap(events_);
    events_.clear();
  }

  const std::shared_ptr<FakeHost> host_ = std::make_shared<FakeHost>();
  const DomainSpec spec_ = PlainSpec();
  const std::string uuid_ = spec_.uuid;
  // Written by the fake's thread, read when it is idle.
  std::vector<HypervisorEvent> events_;
  std::vector<HypervisorEvent> seen_;
  std::unique_ptr<FakeHypervisor> hypervisor_;
};

TEST_F(FakeHypervisorTest, FailsTheNextCallsAsTold) {
  host_->FailNext(FakeMethod::kStartDomain,
                  Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no memory"), 2);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(ReasonOf(hypervisor_->StartDomain(uuid_)),
              ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
    EXPECT_EQ(hypervisor_->GetDomain(uuid_)->state, PowerState::kStopped);
  }
  EXPECT_EQ(hypervisor_->StartDomain(uuid_), absl::OkStatus());
  EXPECT_EQ(host_->Calls(FakeMethod::kStartDomain), 3);
  EXPECT_EQ(host_->Boots(uuid_), 1);
}

TEST_F(FakeHypervisorTest, LosesAnAnswerAfterTheWork) {
  host_->LoseNextAnswer(FakeMethod::kStartDomain, Error(kUnavailable, "lost"));
  EXPECT_EQ(ReasonOf(hypervisor_->StartDomain(uuid_)), kUnavailable);
  EXPECT_EQ(hypervisor_->GetDomain(uuid_)->state, PowerState::kRunning);
}

TEST_F(FakeHypervisorTest, HangsUntilReleased) {
  for (const auto& [outcome, reason, state] :
       {std::tuple(HungOutcome::kTimedOut, kUnavailable, PowerState::kStopped),
        std::tuple(HungOutcome::kTimedOutDone, kUnavailable, PowerState::kRunning),
        std::tuple(HungOutcome::kAnswered, ErrorReason::ERROR_REASON_UNSPECIFIED,
                   PowerState::kRunning)}) {
    ASSERT_EQ(hypervisor_->DestroyDomain(uuid_), absl::OkStatus());
    host_->HangNext(FakeMethod::kStartDomain);
    absl::Status status;
    std::thread caller([&] { status = hypervisor_->StartDomain(uuid_); });
    EXPECT_TRUE(host_->WaitForHung(FakeMethod::kStartDomain));
    EXPECT_TRUE(hypervisor_->GetDomain(uuid_).ok()) << "other calls go on";
    host_->ReleaseHung(FakeMethod::kStartDomain, outcome);
    caller.join();
    EXPECT_EQ(ReasonOf(status), reason);
    EXPECT_EQ(hypervisor_->GetDomain(uuid_)->state, state);
  }
}

TEST_F(FakeHypervisorTest, EndsAHungCallWithItsConnectionOrItsObject) {
  absl::Status status;
  host_->HangNext(FakeMethod::kStartDomain);
  std::thread first([&] { status = hypervisor_->StartDomain(uuid_); });
  ASSERT_TRUE(host_->WaitForHung(FakeMethod::kStartDomain));
  host_->Disconnect();
  first.join();
  EXPECT_EQ(ReasonOf(status), kUnavailable);
  host_->Reconnect();

  host_->HangNext(FakeMethod::kStartDomain);
  std::thread second([&] { status = hypervisor_->StartDomain(uuid_); });
  ASSERT_TRUE(host_->WaitForHung(FakeMethod::kStartDomain));
  hypervisor_->Stop();
  second.join();
  EXPECT_EQ(ReasonOf(status), kUnavailable);
  EXPECT_EQ(host_->Domains()[0].state, PowerState::kStopped);
}

TEST_F(FakeHypervisorTest, CallsTheHookAroundTheWork) {
  std::vector<PowerState> states;
  host_->SetHook([&](const FakeCall& call) {
    EXPECT_EQ(call.uuid, uuid_);
    states.push_back(host_->Domains()[0].state);
    return absl::OkStatus();
  });
  EXPECT_EQ(hypervisor_->StartDomain(uuid_), absl::OkStatus());
  EXPECT_EQ(states, (std::vector<PowerState>{PowerState::kStopped, PowerState::kRunning}));
  host_->SetHook([](const FakeCall& call) {
    return call.done ? absl::OkStatus() : absl::AbortedError("before");
  });
  EXPECT_EQ(hypervisor_->DestroyDomain(uuid_).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(host_->Domains()[0].state, PowerState::kRunning);
  host_->SetHook([](const FakeCall& call) {
    return call.done ? absl::AbortedError("after") : absl::OkStatus();
  });
  EXPECT_EQ(hypervisor_->DestroyDomain(uuid_).code(), absl::StatusCode::kAborted);
  EXPECT_EQ(host_->Domains()[0].state, PowerState::kStopped);
}

TEST_F(FakeHypervisorTest, TellsNothingWhileDisconnectedAndEverythingAfterwards) {
  host_->Disconnect("gone");
  host_->AddForeignDomain(
      [this] {
        DomainSpec other = spec_;
        other.uuid[0] = '7';
        other.name = "foreign";
        return other;
      }(),
      PowerState::kRunning, false);
  EXPECT_EQ(ReasonOf(hypervisor_->ListDomains().status()), kUnavailable);
  host_->Reconnect();
  Settle();
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[0].kind, Kind::kDisconnected);
  EXPECT_EQ(seen_[0].message, "gone");
  EXPECT_EQ(seen_[1].kind, Kind::kConnected);
  EXPECT_EQ(seen_[1].domains.size(), 2u);
}

TEST_F(FakeHypervisorTest, BeginsDisconnectedOnAHostWithoutADaemon) {
  host_->Disconnect("gone");
  std::vector<HypervisorEvent> events;
  FakeHypervisor other(host_);
  other.Start([&](const HypervisorEvent& event) { events.push_back(event); });
  other.WaitIdle();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Kind::kDisconnected);
  EXPECT_EQ(ReasonOf(other.GetHostInfo().status()), kUnavailable);
}

TEST_F(FakeHypervisorTest, PlaysTheGuest) {
  EXPECT_EQ(ReasonOf(host_->GuestShutsDown(uuid_)),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  ASSERT_EQ(hypervisor_->StartDomain(uuid_), absl::OkStatus());
  Settle();
  ASSERT_TRUE(host_->GuestPauses(uuid_, "io-error").ok());
  EXPECT_EQ(ReasonOf(hypervisor_->StartDomain(uuid_)),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  ASSERT_TRUE(host_->GuestResumes(uuid_).ok());
  ASSERT_TRUE(host_->GuestReboots(uuid_).ok());
  ASSERT_TRUE(host_->GuestPanics(uuid_).ok());
  Settle();
  ASSERT_EQ(seen_.size(), 5u);
  EXPECT_EQ(seen_[0].domains[0].reason, "io-error");
  EXPECT_EQ(seen_[1].domains[0].state, PowerState::kRunning);
  EXPECT_EQ(seen_[2].kind, Kind::kDomainRebooted);
  EXPECT_EQ(seen_[3].domains[0].state, PowerState::kCrashed);
  EXPECT_EQ(seen_[4].domains[0].reason, "crashed");
  EXPECT_EQ(host_->Boots(uuid_), 2);
}

TEST_F(FakeHypervisorTest, PlaysOtherPeople) {
  ASSERT_EQ(hypervisor_->StartDomain(uuid_), absl::OkStatus());
  Settle();
  // Undefined while it runs: transient, then gone.
  ASSERT_TRUE(host_->RemoveDomain(uuid_).ok());
  ASSERT_TRUE(host_->GuestShutsDown(uuid_).ok());
  Settle();
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_FALSE(seen_[0].domains[0].persistent);
  EXPECT_EQ(seen_[1].kind, Kind::kDomainGone);
  EXPECT_TRUE(host_->Domains().empty());
  EXPECT_FALSE(host_->FindSpec(uuid_).has_value());
}

TEST_F(FakeHypervisorTest, KeepsItsGuestsWhenTheAgentDies) {
  ASSERT_EQ(hypervisor_->StartDomain(uuid_), absl::OkStatus());
  hypervisor_.reset();
  std::vector<HypervisorEvent> events;
  FakeHypervisor next(host_);
  next.Start([&](const HypervisorEvent& event) { events.push_back(event); });
  next.WaitIdle();
  ASSERT_EQ(events.size(), 1u);
  ASSERT_EQ(events[0].domains.size(), 1u);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kRunning);
  EXPECT_EQ(host_->FindSpec(uuid_)->name, spec_.name);
}

}  // namespace
}  // namespace cvm::hypervisor
