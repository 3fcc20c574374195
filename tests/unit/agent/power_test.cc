// SPDX-License-Identifier: Apache-2.0
//
// Start, stop and reboot, and what is seen of guests that change by themselves.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using hypervisor::PowerState;
using ::testing::HasSubstr;
using v1::Operation;

constexpr char kId[] = "ins-00000001";

class PowerTest : public ::testing::Test {
 protected:
  PowerTest() {
    agent_.ImportBase();
    agent_.MakeInstance(kId);
    uuid_ = agent_.UuidOf(kId);
  }

  absl::StatusOr<Operation> SubmitStart() {
    v1::StartInstanceRequest request;
    request.set_instance_id(kId);
    return agent_.instances().Start(agent_.caller, request);
  }
  absl::StatusOr<Operation> SubmitStop(v1::StopMode mode,
                                       absl::Duration timeout = absl::Minutes(1)) {
    v1::StopInstanceRequest request;
    request.set_instance_id(kId);
    request.set_mode(mode);
    *request.mutable_timeout() = ToProtoDuration(timeout);
    return agent_.instances().Stop(agent_.caller, request);
  }
  absl::StatusOr<Operation> SubmitReboot(v1::StopMode mode,
                                         absl::Duration timeout = absl::Minutes(1)) {
    v1::RebootInstanceRequest request;
    request.set_instance_id(kId);
    request.set_mode(mode);
    *request.mutable_timeout() = ToProtoDuration(timeout);
    return agent_.instances().Reboot(agent_.caller, request);
  }

  // Runs it to its end and looks at what was seen then.
  Operation Run(const absl::StatusOr<Operation>& submitted) {
    const Operation operation = agent_.Run(submitted);
    agent_.Settle();
    return operation;
  }

  // Waits until the guest has been asked `times` times in all.
  void WaitAsked(FakeMethod method, int times) {
    ASSERT_TRUE(agent_.WaitFor([&] { return agent_.host->Calls(method) >= times; }));
  }

  v1::InstanceState State() { return agent_.StateOf(kId); }

  AgentHarness agent_;
  std::string uuid_;
};

TEST_F(PowerTest, StopsSoftlyAndStartsAgain) {
  EXPECT_EQ(Run(SubmitStop(v1::STOP_MODE_SOFT)).state(), Operation::SUCCESS);
  EXPECT_EQ(State(), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->observed_power().reason(), "shutdown");
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);
  EXPECT_EQ(ReasonOf(SubmitStop(v1::STOP_MODE_HARD).status()),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(Run(SubmitStart()).state(), Operation::SUCCESS);
  EXPECT_EQ(State(), v1::RUNNING);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
  EXPECT_EQ(ReasonOf(SubmitStart().status()), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
}

TEST_F(PowerTest, StopsHard) {
  ASSERT_TRUE(agent_.host->IgnoreShutdown(uuid_, true).ok());
  EXPECT_EQ(Run(SubmitStop(v1::STOP_MODE_HARD)).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kStopped);
  EXPECT_EQ(State(), v1::STOPPED);
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kShutdownDomain), 0);
}

TEST_F(PowerTest, FailsASoftStopAtItsTimeoutAndLeavesTheGuestOn) {
  ASSERT_TRUE(agent_.host->IgnoreShutdown(uuid_, true).ok());
  const auto submitted = SubmitStop(v1::STOP_MODE_SOFT, absl::Minutes(10));
  ASSERT_TRUE(submitted.ok());
  WaitAsked(FakeMethod::kShutdownDomain, 1);
  EXPECT_EQ(State(), v1::STOPPING);
  // Asked again from time to time: a guest that is still booting did not hear it. The step may not
  // wait for its time yet when the clock moves, so it moves on until the guest was asked.
  ASSERT_TRUE(agent_.WaitFor([&] {
    agent_.Advance(absl::Seconds(1));
    return agent_.host->Calls(FakeMethod::kShutdownDomain) >= 3;
  }));
  EXPECT_EQ(agent_.engine().Get(submitted->id())->state(), Operation::OPERATING);
  agent_.Advance(absl::Minutes(9));
  const Operation operation = agent_.WaitEndAdvancing(submitted->id());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_SOFT_STOP_TIMED_OUT);
  EXPECT_EQ(State(), v1::RUNNING);
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kRunning);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
}

TEST_F(PowerTest, CutsThePowerAtTheTimeoutWhenSoftFirst) {
  ASSERT_TRUE(agent_.host->IgnoreShutdown(uuid_, true).ok());
  const auto submitted = SubmitStop(v1::STOP_MODE_SOFT_FIRST, absl::Seconds(20));
  ASSERT_TRUE(submitted.ok());
  WaitAsked(FakeMethod::kShutdownDomain, 1);
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kDestroyDomain), 0);
  EXPECT_EQ(agent_.WaitEndAdvancing(submitted->id()).state(), Operation::SUCCESS);
  agent_.Settle();
  EXPECT_EQ(State(), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->observed_power().reason(), "destroyed");
}

TEST_F(PowerTest, EndsASoftStopWhenTheGuestObeysLate) {
  ASSERT_TRUE(agent_.host->IgnoreShutdown(uuid_, true).ok());
  const auto submitted = SubmitStop(v1::STOP_MODE_SOFT);
  ASSERT_TRUE(submitted.ok());
  WaitAsked(FakeMethod::kShutdownDomain, 1);
  ASSERT_TRUE(agent_.host->GuestShutsDown(uuid_).ok());
  // By the event, without the clock.
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(PowerTest, LetsAHardStopOverrideAPendingSoftStop) {
  ASSERT_TRUE(agent_.host->IgnoreShutdown(uuid_, true).ok());
  const auto soft = SubmitStop(v1::STOP_MODE_SOFT, absl::Hours(1));
  ASSERT_TRUE(soft.ok());
  WaitAsked(FakeMethod::kShutdownDomain, 1);
  EXPECT_EQ(ReasonOf(SubmitStop(v1::STOP_MODE_SOFT).status()),
            ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
  const auto hard = SubmitStop(v1::STOP_MODE_HARD);
  ASSERT_TRUE(hard.ok()) << hard.status();
  EXPECT_EQ(agent_.WaitEnd(hard->id()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.WaitEnd(soft->id()).state(), Operation::SUCCESS);
  agent_.Settle();
  EXPECT_EQ(State(), v1::STOPPED);
  // Whichever ended last.
  EXPECT_EQ(agent_.Find(kId)->latest_operation().id(), hard->id());
}

TEST_F(PowerTest, DoesNotOverrideAHardStopOrASoftReboot) {
  agent_.host->HangNext(FakeMethod::kDestroyDomain);
  const auto hard = SubmitStop(v1::STOP_MODE_HARD);
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDestroyDomain));
  EXPECT_EQ(ReasonOf(SubmitStop(v1::STOP_MODE_HARD).status()),
            ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
  agent_.host->ReleaseHung(FakeMethod::kDestroyDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(Run(hard).state(), Operation::SUCCESS);
  Run(SubmitStart());
  ASSERT_TRUE(agent_.host->IgnoreReboot(uuid_, true).ok());
  ASSERT_TRUE(SubmitReboot(v1::STOP_MODE_SOFT).ok());
  const auto refused = SubmitStop(v1::STOP_MODE_HARD);
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
}

TEST_F(PowerTest, RebootsSoftlyHardAndSoftFirst) {
  EXPECT_EQ(Run(SubmitReboot(v1::STOP_MODE_SOFT)).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.host->Boots(uuid_), 2);
  EXPECT_EQ(Run(SubmitReboot(v1::STOP_MODE_HARD)).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.host->Boots(uuid_), 3);
  // Earlier reboots do not count for a later one.
  ASSERT_TRUE(agent_.host->IgnoreReboot(uuid_, true).ok());
  const auto submitted = SubmitReboot(v1::STOP_MODE_SOFT_FIRST, absl::Seconds(10));
  ASSERT_TRUE(submitted.ok());
  WaitAsked(FakeMethod::kRebootDomain, 2);
  EXPECT_EQ(agent_.WaitEndAdvancing(submitted->id()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.host->Boots(uuid_), 4);
  EXPECT_EQ(State(), v1::RUNNING);
}

TEST_F(PowerTest, ReportsAGuestThatIgnoresAReboot) {
  ASSERT_TRUE(agent_.host->IgnoreReboot(uuid_, true).ok());
  const auto submitted = SubmitReboot(v1::STOP_MODE_SOFT, absl::Seconds(30));
  ASSERT_TRUE(submitted.ok());
  EXPECT_EQ(State(), v1::REBOOTING);
  const Operation operation = agent_.WaitEndAdvancing(submitted->id());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_GUEST_IGNORED_REBOOT);
  EXPECT_EQ(agent_.host->Boots(uuid_), 1);
  // Asked once: a second question could reboot it twice.
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kRebootDomain), 1);
  EXPECT_EQ(State(), v1::RUNNING);
}

TEST_F(PowerTest, CountsARebootThatIsSeenAfterARestartOfTheAgent) {
  EXPECT_EQ(Run(SubmitReboot(v1::STOP_MODE_SOFT)).state(), Operation::SUCCESS);
  ASSERT_TRUE(agent_.host->IgnoreReboot(uuid_, true).ok());
  const auto submitted = SubmitReboot(v1::STOP_MODE_SOFT, absl::Hours(1));
  ASSERT_TRUE(submitted.ok());
  WaitAsked(FakeMethod::kRebootDomain, 2);
  agent_.Restart();
  EXPECT_EQ(agent_.engine().Get(submitted->id())->state(), Operation::OPERATING);
  ASSERT_TRUE(agent_.host->GuestReboots(uuid_).ok());
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kRebootDomain), 2);
}

TEST_F(PowerTest, FailsARebootOfAGuestThatGoesOff) {
  ASSERT_TRUE(agent_.host->IgnoreReboot(uuid_, true).ok());
  const auto submitted = SubmitReboot(v1::STOP_MODE_SOFT);
  ASSERT_TRUE(submitted.ok());
  WaitAsked(FakeMethod::kRebootDomain, 1);
  ASSERT_TRUE(agent_.host->GuestShutsDown(uuid_).ok());
  const Operation operation = agent_.WaitEnd(submitted->id());
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(State(), v1::STOPPED);
}

TEST_F(PowerTest, SeesWhatGuestsDoByThemselves) {
  ASSERT_TRUE(agent_.host->GuestShutsDown(uuid_).ok());
  agent_.Settle();
  EXPECT_EQ(State(), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->observed_power().reason(), "shutdown");
  // It was not asked to be off.
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
  EXPECT_EQ(Run(SubmitStart()).state(), Operation::SUCCESS);
  ASSERT_TRUE(agent_.host->GuestPanics(uuid_).ok());
  agent_.Settle();
  EXPECT_EQ(State(), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->observed_power().reason(), "crashed");
  Run(SubmitStart());
  ASSERT_TRUE(agent_.host->GuestPauses(uuid_, "io-error").ok());
  agent_.Settle();
  EXPECT_EQ(State(), v1::PAUSED);
  EXPECT_EQ(agent_.Find(kId)->observed_power().reason(), "io-error");
  EXPECT_EQ(ReasonOf(SubmitReboot(v1::STOP_MODE_SOFT).status()),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(Run(SubmitStop(v1::STOP_MODE_HARD)).state(), Operation::SUCCESS);
}

TEST_F(PowerTest, StartsAGuestThatWentOffByItselfOnAFullHost) {
  // All CPUs are given away, its own among them: it is still counted.
  agent_.Crash();
  agent_.config.limits.cpu_overcommit = 1.0 / 8;
  agent_.Restart();
  ASSERT_TRUE(agent_.host->GuestShutsDown(uuid_).ok());
  agent_.Settle();
  EXPECT_EQ(Run(SubmitStart()).state(), Operation::SUCCESS);
}

TEST_F(PowerTest, AnAnswerThatAnEventHasOvertakenIsNotBelieved) {
  // Several states seen, so that a count of them does not begin anew unnoticed.
  ASSERT_EQ(Run(SubmitStop(v1::STOP_MODE_HARD)).state(), Operation::SUCCESS);
  agent_.host->SetHook([this](const hypervisor::FakeCall& call) {
    if (call.method == FakeMethod::kGetDomain && call.done) {
      EXPECT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
      agent_.Settle();
    }
    return absl::OkStatus();
  });
  EXPECT_TRUE(agent_.power().Refresh(agent_.core().hypervisor, uuid_).ok());
  agent_.Settle();
  EXPECT_EQ(agent_.Find(kId)->observed_power().state(), v1::ObservedPower::ABSENT);
}

TEST_F(PowerTest, IsUnknownWhileTheHypervisorCannotBeAsked) {
  const absl::Time lost = agent_.clock.Now();
  agent_.host->Disconnect("libvirtd is gone");
  agent_.Settle();
  EXPECT_EQ(State(), v1::UNKNOWN);
  EXPECT_EQ(agent_.Find(kId)->observed_power().last_known(), v1::ObservedPower::RUNNING);
  agent_.clock.Advance(absl::Minutes(5));
  for (const auto& refused :
       {SubmitStop(v1::STOP_MODE_HARD), SubmitStart(), SubmitReboot(v1::STOP_MODE_HARD)}) {
    EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::ERROR_REASON_STATE_UNKNOWN);
    EXPECT_THAT(std::string(refused.status().message()), HasSubstr("libvirtd is gone"));
  }
  EXPECT_EQ(FromTimestamp(agent_.Find(kId)->observed_power().observed_at()), lost);
  EXPECT_EQ(agent_.instances().List({})->observed_at, lost);

  // A restart of the agent meanwhile knows no more, and keeps what was last known.
  agent_.Restart();
  EXPECT_EQ(State(), v1::UNKNOWN);
  EXPECT_EQ(agent_.Find(kId)->observed_power().last_known(), v1::ObservedPower::RUNNING);

  ASSERT_TRUE(agent_.host->GuestIsKilled(uuid_).ok());
  agent_.host->Reconnect();
  agent_.Settle();
  EXPECT_EQ(State(), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->observed_power().last_known(), v1::ObservedPower::STATE_UNSPECIFIED);
}

TEST_F(PowerTest, SaysHowOldItsKnowledgeIsBeforeAHangIsNoticed) {
  EXPECT_EQ(agent_.instances().List({})->observed_at, agent_.clock.Now());
  agent_.host->SetUnanswered(absl::Seconds(12));
  const absl::Time answered = agent_.clock.Now() - absl::Seconds(12);
  EXPECT_EQ(agent_.instances().List({})->observed_at, answered);
  EXPECT_EQ(State(), v1::RUNNING);
  agent_.host->Disconnect("libvirtd hangs");
  agent_.Settle();
  EXPECT_EQ(agent_.instances().List({})->observed_at, answered);
  EXPECT_EQ(FromTimestamp(agent_.Find(kId)->observed_power().observed_at()), answered);
  agent_.host->Reconnect();
  agent_.Settle();
  EXPECT_EQ(agent_.instances().List({})->observed_at, agent_.clock.Now());
}

TEST_F(PowerTest, GivesEachOutageOfTheHypervisorItsOwnGrace) {
  ASSERT_TRUE(agent_.host->IgnoreShutdown(uuid_, true).ok());
  const auto submitted = SubmitStop(v1::STOP_MODE_SOFT, absl::Hours(1));
  ASSERT_TRUE(submitted.ok());
  WaitAsked(FakeMethod::kShutdownDomain, 1);
  for (int outage = 0; outage < 2; ++outage) {
    agent_.host->Disconnect();
    agent_.Settle();
    const auto retrying = [&] {
      return agent_.engine().Get(submitted->id())->stage().find("trying again") !=
             std::string::npos;
    };
    ASSERT_TRUE(agent_.WaitFor([&] {
      agent_.Advance(absl::Seconds(1));
      return retrying();
    }));
    agent_.host->Reconnect();
    agent_.Settle();
    // It has looked again without an error, and waits on.
    const int asked = agent_.host->Calls(FakeMethod::kShutdownDomain);
    ASSERT_TRUE(agent_.WaitFor([&] {
      agent_.Advance(absl::Seconds(1));
      return agent_.host->Calls(FakeMethod::kShutdownDomain) > asked;
    }));
    // Longer than the grace since the first outage.
    agent_.clock.Advance(absl::Minutes(5));
  }
  EXPECT_EQ(agent_.engine().Get(submitted->id())->state(), Operation::OPERATING);
  ASSERT_TRUE(agent_.host->GuestShutsDown(uuid_).ok());
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(PowerTest, UndoesAStartThatFails) {
  Run(SubmitStop(v1::STOP_MODE_HARD));
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  EXPECT_EQ(Run(SubmitStart()).state(), Operation::FAILED);
  EXPECT_EQ(State(), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);
  agent_.host->LoseNextAnswer(FakeMethod::kStartDomain,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "lost"));
  EXPECT_EQ(Run(SubmitStart()).state(), Operation::FAILED);
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kStopped);
  EXPECT_EQ(State(), v1::STOPPED);
}

TEST_F(PowerTest, TakesScreenshotsAndTheSerialPortOfRunningGuestsOnly) {
  const auto screenshot = agent_.instances().GetScreenshot(kId);
  ASSERT_TRUE(screenshot.ok()) << screenshot.status();
  EXPECT_GT(screenshot->width(), 0u);
  EXPECT_EQ(screenshot->png().substr(1, 3), "PNG");
  EXPECT_EQ(*agent_.instances().ReadConsoleLog(kId, 100), "");
  Run(SubmitStop(v1::STOP_MODE_HARD));
  EXPECT_EQ(ReasonOf(agent_.instances().GetScreenshot(kId).status()),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(ReasonOf(agent_.instances().OpenSerial(kId, false, {}).status()),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
}

}  // namespace
}  // namespace cvm::agent::core
