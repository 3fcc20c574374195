// SPDX-License-Identifier: Apache-2.0
//
// What others do to the domains behind the agent's back, and what it then says and does.
#include "agent/core/reconciler.h"

#include <filesystem>

#include "agent/core/derive_state.h"
#include "agent/core/host_check.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainSpec;
using hypervisor::FakeMethod;
using hypervisor::PowerState;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using v1::Finding;
using v1::HostEvent;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
constexpr char kForeign[] = "11111111-2222-4333-8444-555555555555";

class ReconcilerTest : public ::testing::Test {
 protected:
  ReconcilerTest() { agent_.ImportBase(); }

  void Make(bool start = true) {
    agent_.MakeInstance(kId, start);
    uuid_ = agent_.UuidOf(kId);
    Seen();
  }

  // One comparison, and the end of what it started.
  void Pass() {
    agent_.Settle();
    const absl::Status passed = agent_.reconciler().Pass();
    ASSERT_TRUE(passed.ok()) << passed;
    ASSERT_TRUE(agent_.WaitFor([&] { return agent_.engine().ActiveCount() == 0; }));
    agent_.Settle();
  }

  // "FOUND DOMAIN_MISSING", ... since the last call.
  std::vector<std::string> Seen() {
    std::vector<std::string> words;
    const auto entries = agent_.events().After(sequence_);
    EXPECT_TRUE(entries.has_value());
    for (const EventLog::Entry& entry : *entries) {
      sequence_ = entry.sequence;
      EXPECT_TRUE(entry.event.has_time());
      EXPECT_FALSE(entry.event.message().empty());
      EXPECT_THAT(entry.event.message(), ::testing::Not(HasSubstr("/"))) << "no host path";
      last_ = entry.event;
      std::string word = HostEvent::Kind_Name(entry.event.kind());
      if (entry.event.finding() != Finding::KIND_UNSPECIFIED) {
        word += " " + Finding::Kind_Name(entry.event.finding());
      }
      words.push_back(word);
    }
    return words;
  }

  std::vector<Finding::Kind> Findings() {
    std::vector<Finding::Kind> kinds;
    const auto found = CheckDomains(agent_.core());
    EXPECT_TRUE(found.ok()) << found.status();
    for (const Finding& finding : found->findings) kinds.push_back(finding.kind());
    return kinds;
  }

  AgentHarness agent_;
  std::string uuid_;
  HostEvent last_;
  uint64_t sequence_ = 0;
};

TEST_F(ReconcilerTest, FindsNothingWhereNothingIsWrong) {
  Make();
  agent_.Run(agent_.instances().Create(agent_.caller, agent_.BigCreateRequest("ins-00000002")));
  Seen();
  Pass();
  Pass();
  EXPECT_THAT(Seen(), IsEmpty());
  EXPECT_THAT(Findings(), IsEmpty());
}

TEST_F(ReconcilerTest, ADomainThatVanishedIsDefinedAgainAndNotStarted) {
  Make(/*start=*/false);
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
  agent_.Settle();
  EXPECT_EQ(agent_.Find(kId)->observed_power().state(), v1::ObservedPower::ABSENT);
  EXPECT_THAT(Findings(), ElementsAre(Finding::DOMAIN_MISSING));
  Pass();
  EXPECT_THAT(Seen(), ::testing::UnorderedElementsAre("FOUND DOMAIN_MISSING",
                                                      "REPAIRED DOMAIN_MISSING", "POWER_CHANGED"));
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kStopped);
  EXPECT_EQ(agent_.UuidOf(kId), uuid_);
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->observed_power().state(), v1::ObservedPower::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->latest_operation().action(), Operation::REPAIR_HOST);
  EXPECT_EQ(agent_.host->Boots(uuid_), 0);
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("CLEARED DOMAIN_MISSING"));
  agent_.ExpectNothingLeftOver();
}

TEST_F(ReconcilerTest, ADomainIsNotDefinedWithoutItsDisk) {
  Make(/*start=*/false);
  std::filesystem::remove(agent_.paths().Volume(agent_.Find(kId)->spec().system_disk().id()));
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
  Pass();
  EXPECT_THAT(Seen(),
              ::testing::UnorderedElementsAre("FOUND DISK_MISSING", "FOUND DOMAIN_MISSING"));
  EXPECT_THAT(agent_.host->Domains(), IsEmpty());
  ASSERT_NE(agent_.Find(kId), nullptr) << "the record stays";
  EXPECT_EQ(agent_.Find(kId)->observed_power().state(), v1::ObservedPower::ABSENT);
}

TEST_F(ReconcilerTest, ADefinitionThatCannotBeWrittenIsTriedOnce) {
  Make(/*start=*/false);
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
  agent_.host->FailNext(FakeMethod::kDefineDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  const int before = agent_.host->Calls(FakeMethod::kDefineDomain);
  Pass();
  Pass();
  Pass();
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kDefineDomain), before + 1);
  EXPECT_THAT(Seen(), ElementsAre("FOUND DOMAIN_MISSING"));
}

TEST_F(ReconcilerTest, ARunningDomainThatWasUndefinedKeepsRunningAndIsDefinedAgain) {
  Make();
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("FOUND DOMAIN_TRANSIENT", "REPAIRED DOMAIN_MISSING"));
  ASSERT_EQ(agent_.host->Domains().size(), 1u);
  EXPECT_TRUE(agent_.host->Domains()[0].persistent);
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kRunning);
  EXPECT_EQ(agent_.host->Boots(uuid_), 1);
}

TEST_F(ReconcilerTest, AChangedDefinitionIsToldAndLeftAlone) {
  Make();
  ASSERT_TRUE(agent_.host
                  ->EditDomain(uuid_,
                               [](DomainSpec& spec) {
                                 spec.vcpus = 4;
                                 spec.disks[0].path = "/somewhere/else.qcow2";
                               })
                  .ok());
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("FOUND DEFINITION_DRIFT"));
  EXPECT_THAT(last_.message(), HasSubstr("4 vCPUs instead of 1"));
  EXPECT_THAT(last_.message(), HasSubstr("else.qcow2"));
  Pass();
  EXPECT_THAT(Seen(), IsEmpty()) << "told once";
  EXPECT_EQ(agent_.host->FindSpec(uuid_)->vcpus, 4u);
  // What drifts further is told again.
  ASSERT_TRUE(agent_.host->EditDomain(uuid_, [](DomainSpec& spec) { spec.vcpus = 3; }).ok());
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("FOUND DEFINITION_DRIFT"));
  ASSERT_TRUE(agent_.host
                  ->EditDomain(uuid_,
                               [&](DomainSpec& spec) {
                                 spec.vcpus = 1;
                                 spec.disks[0].path = agent_.paths().Volume(
                                     agent_.Find(kId)->spec().system_disk().id());
                               })
                  .ok());
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("CLEARED DEFINITION_DRIFT"));
}

TEST_F(ReconcilerTest, ForeignDomainsAreToldAndLeftAlone) {
  DomainSpec spec;
  spec.name = "somebody's";
  spec.uuid = kForeign;
  agent_.Settle();
  Seen();
  agent_.host->AddForeignDomain(spec, PowerState::kRunning, true);
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("FOUND FOREIGN_DOMAIN"));
  EXPECT_EQ(last_.domain_name(), "somebody's");
  EXPECT_EQ(last_.domain_uuid(), kForeign);
  EXPECT_EQ(agent_.host->FindSpec(kForeign)->metadata, "");
  // First its definition, then its run.
  ASSERT_TRUE(agent_.host->RemoveDomain(kForeign).ok());
  ASSERT_TRUE(agent_.host->RemoveDomain(kForeign).ok());
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("CLEARED FOREIGN_DOMAIN"));
}

TEST_F(ReconcilerTest, RenamedAndSavedDomainsAreTold) {
  Make();
  ASSERT_TRUE(agent_.host->SetManagedSave(uuid_, true).ok());
  ASSERT_TRUE(agent_.host->EditDomain(uuid_, [](DomainSpec& spec) { spec.name = "other"; }).ok());
  Pass();
  std::vector<std::string> seen = Seen();
  EXPECT_THAT(seen, ::testing::UnorderedElementsAre("POWER_CHANGED", "FOUND MANAGED_SAVE",
                                                    "FOUND DOMAIN_RENAMED"));
}

TEST_F(ReconcilerTest, PowerThatOthersChangeIsToldAsSuch) {
  Make();
  ASSERT_TRUE(agent_.host->GuestShutsDown(uuid_).ok());
  agent_.Settle();
  EXPECT_THAT(Seen(), ElementsAre("POWER_CHANGED"));
  EXPECT_THAT(last_.message(), HasSubstr("no operation"));
  v1::StartInstanceRequest start;
  start.set_instance_id(kId);
  agent_.Run(agent_.instances().Start(agent_.caller, start));
  agent_.Settle();
  EXPECT_THAT(Seen(), ElementsAre("POWER_CHANGED"));
  EXPECT_THAT(last_.message(), HasSubstr("during START_INSTANCE"));
}

TEST_F(ReconcilerTest, ConnectionsAreTold) {
  agent_.Settle();
  Seen();
  agent_.host->Disconnect("libvirtd fell over");
  agent_.Settle();
  EXPECT_THAT(Seen(), ElementsAre("HYPERVISOR_DISCONNECTED"));
  EXPECT_FALSE(agent_.reconciler().Pass().ok());
  agent_.host->Reconnect();
  agent_.Settle();
  EXPECT_THAT(Seen(), ElementsAre("HYPERVISOR_CONNECTED"));
}

TEST_F(ReconcilerTest, UnknownIsNeverAReasonToAct) {
  Make();
  // The list is there, what is asked of the one domain is not.
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
  agent_.Settle();
  Seen();
  agent_.host->FailNext(FakeMethod::kGetDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE, "hangs"));
  EXPECT_EQ(ReasonOf(agent_.reconciler().Pass()), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_THAT(agent_.host->Domains(), IsEmpty());
  EXPECT_THAT(Seen(), IsEmpty());
}

TEST_F(ReconcilerTest, AnInstanceWithAnOperationUnderWayIsLeftOut) {
  Make();
  ASSERT_TRUE(agent_.host->IgnoreShutdown(uuid_, true).ok());
  v1::StopInstanceRequest stop;
  stop.set_instance_id(kId);
  stop.set_mode(v1::STOP_MODE_SOFT);
  const auto submitted = agent_.instances().Stop(agent_.caller, stop);
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->EditDomain(uuid_, [](DomainSpec& spec) { spec.vcpus = 4; }).ok());
  Seen();
  EXPECT_TRUE(agent_.reconciler().Pass().ok());
  EXPECT_THAT(Seen(), IsEmpty());
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  agent_.WaitEndAdvancing(submitted->id());
  Pass();
  EXPECT_THAT(Seen(), ElementsAre("FOUND DEFINITION_DRIFT"));
}

TEST_F(ReconcilerTest, ComparesByItselfWhenADomainGoesAndAtEachConnection) {
  Make(/*start=*/false);
  agent_.reconciler().Start(absl::ZeroDuration());
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid_).ok());
  EXPECT_TRUE(agent_.WaitFor([&] { return agent_.DomainStateOf(kId).has_value(); }));
  // Else the operation would wait for the connection, and nothing is compared meanwhile.
  EXPECT_TRUE(agent_.WaitFor([&] { return !IsBusy(*agent_.Find(kId)); }));
  agent_.host->Disconnect();
  ASSERT_TRUE(agent_.host->EditDomain(uuid_, [](DomainSpec& spec) { spec.vcpus = 4; }).ok());
  agent_.host->Reconnect();
  EXPECT_TRUE(agent_.WaitFor([&] {
    const auto seen = Seen();
    return std::find(seen.begin(), seen.end(), "FOUND DEFINITION_DRIFT") != seen.end();
  }));
  agent_.reconciler().Stop();
}

TEST_F(ReconcilerTest, ComparesByTime) {
  Make();
  ASSERT_TRUE(agent_.host->EditDomain(uuid_, [](DomainSpec& spec) { spec.vcpus = 4; }).ok());
  agent_.Settle();
  Seen();
  agent_.reconciler().Start(absl::Milliseconds(20));
  EXPECT_TRUE(agent_.WaitFor([&] { return !Seen().empty(); }));
  agent_.reconciler().Stop();
}

TEST(EventLog, KeepsTheLastAndSaysWhenSomeAreGone) {
  FakeClock clock;
  EventLog log(clock);
  EXPECT_THAT(log.Kept(), IsEmpty());
  EXPECT_THAT(*log.After(0), IsEmpty());
  EXPECT_FALSE(log.After(1).has_value()) << "of another run";
  int told = 0;
  const auto subscription = log.Subscribe([&] { ++told; });
  for (int i = 1; i <= 1500; ++i) {
    HostEvent event;
    event.set_message(std::to_string(i));
    log.Add(event);
  }
  EXPECT_EQ(told, 1500);
  EXPECT_EQ(log.Kept().size(), 1024u);
  EXPECT_EQ(log.Kept().front().event.message(), "477");
  EXPECT_EQ(log.Kept().back().event.message(), "1500");
  EXPECT_FALSE(log.After(10).has_value());
  ASSERT_EQ(log.After(1498)->size(), 2u);
  EXPECT_EQ(log.After(1498)->front().event.message(), "1499");
}

}  // namespace
}  // namespace cvm::agent::core
