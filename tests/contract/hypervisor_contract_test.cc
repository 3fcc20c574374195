// SPDX-License-Identifier: Apache-2.0
//
// Domains, states and events.
#include <algorithm>

#include "common/errors.h"
#include "drivers/hypervisor/domain_definition.h"
#include "gtest/gtest.h"
#include "tests/contract/hypervisor_contract.h"

namespace cvm::hypervisor {
namespace {

constexpr char kUnknownUuid[] = "00000000-1111-4222-8333-444444444444";
using Kind = HypervisorEvent::Kind;

// The kinds and states of one domain's events, without repetitions.
std::vector<std::string> Story(const EventLog& log, const std::string& uuid) {
  static constexpr const char* kStates[] = {"running", "paused", "stopped", "crashed", "suspended"};
  std::vector<std::string> story;
  for (const HypervisorEvent& event : log.All()) {
    if (event.domains.size() != 1 || event.domains[0].uuid != uuid) continue;
    std::string word;
    if (event.kind == Kind::kDomainState) word = kStates[static_cast<int>(event.domains[0].state)];
    if (event.kind == Kind::kDomainGone) word = "gone";
    if (event.kind == Kind::kDomainRebooted) word = "rebooted";
    if (!word.empty() && (story.empty() || story.back() != word)) story.push_back(word);
  }
  return story;
}

TEST_F(HypervisorContract, DescribesItsHost) {
  const auto info = hypervisor_->GetHostInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->architecture, "x86_64");
  EXPECT_GE(info->cpus, 1u);
  EXPECT_GE(info->memory_mib, 512u);
  EXPECT_NE(info->libvirt_version.find('.'), std::string::npos);
  EXPECT_NE(info->qemu_version.find('.'), std::string::npos);
}

TEST_F(HypervisorContract, ResolvesVersionedMachineTypes) {
  const auto q35 = hypervisor_->ResolveMachineType(MachineFamily::kQ35);
  ASSERT_TRUE(q35.ok()) << q35.status();
  EXPECT_TRUE(q35->starts_with("pc-q35-")) << *q35;
  const auto pc = hypervisor_->ResolveMachineType(MachineFamily::kPc);
  ASSERT_TRUE(pc.ok()) << pc.status();
  EXPECT_TRUE(pc->starts_with("pc-i440fx-")) << *pc;
}

TEST_F(HypervisorContract, KnowsNothingBeforeItsFirstConnection) {
  const auto other = harness_->MakeHypervisor();
  EXPECT_EQ(ReasonOf(other->GetHostInfo().status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOf(other->ResolveMachineType(MachineFamily::kQ35).status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOf(other->ListDomains().status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
}

TEST_F(HypervisorContract, AnswersAfterStopThatItIsUnavailable) {
  hypervisor_->Stop();
  const size_t seen = events_.size();
  EXPECT_EQ(ReasonOf(hypervisor_->ListDomains().status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOf(hypervisor_->DestroyDomain(kUnknownUuid)),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(events_.size(), seen);
  hypervisor_->Stop();
}

TEST_F(HypervisorContract, DefinesListsAndUndefines) {
  const DomainSpec spec = harness_->MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  const DomainStatus status = Get(spec);
  EXPECT_EQ(status.name, spec.name);
  EXPECT_EQ(status.uuid, spec.uuid);
  EXPECT_EQ(status.state, PowerState::kStopped);
  EXPECT_TRUE(status.persistent);
  EXPECT_FALSE(status.has_managed_save);
  const auto list = hypervisor_->ListDomains();
  ASSERT_TRUE(list.ok()) << list.status();
  ASSERT_EQ(std::count_if(list->begin(), list->end(),
                          [&](const DomainStatus& d) { return d.uuid == spec.uuid; }),
            1);
  ASSERT_EQ(hypervisor_->UndefineDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomain(spec.uuid).status()),
            ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
  EXPECT_EQ(hypervisor_->UndefineDomain(spec.uuid), absl::OkStatus()) << "twice";
  ASSERT_TRUE(events_.WaitForKind(Kind::kDomainGone));
  EXPECT_EQ(Story(events_, spec.uuid), (std::vector<std::string>{"stopped", "gone"}));
}

TEST_F(HypervisorContract, RedefinesTheSameDomain) {
  DomainSpec spec = harness_->MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  spec.metadata = "changed";
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  const auto metadata = hypervisor_->GetDomainMetadata(spec.uuid);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(*metadata, "changed");
}

TEST_F(HypervisorContract, RefusesANameOrUuidThatIsTaken) {
  DomainSpec spec = harness_->MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  DomainSpec other = harness_->MakeSpec("contract-b");
  other.name = spec.name;
  EXPECT_EQ(ReasonOf(hypervisor_->DefineDomain(other)), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  spec.name = "contract-c";
  EXPECT_EQ(ReasonOf(hypervisor_->DefineDomain(spec)), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
}

TEST_F(HypervisorContract, RefusesASpecThatXmlCannotHold) {
  DomainSpec spec = harness_->MakeSpec("contract-a");
  spec.title = "a\x01";
  EXPECT_EQ(ReasonOf(hypervisor_->DefineDomain(spec)), ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomain(spec.uuid).status()),
            ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
}

TEST_F(HypervisorContract, GivesBackMetadataUnchanged) {
  DomainSpec spec = harness_->MakeSpec("contract-a");
  for (const std::string& text :
       {std::string(R"({"name":"</cvm:instance><x a='1'/>&lt;&amp;\u0000","t":"]]>"})"),
        std::string("主机 é 🐧"), std::string("a\n\tb\r\nc"), std::string(1 << 20, 'x')}) {
    spec.metadata = text;
    ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
    const auto read = hypervisor_->GetDomainMetadata(spec.uuid);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_TRUE(*read == text) << read->substr(0, 200);
  }
}

TEST_F(HypervisorContract, ReportsThatThereIsNoMetadata) {
  DomainSpec spec = harness_->MakeSpec("contract-a");
  spec.metadata.clear();
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  const absl::Status status = hypervisor_->GetDomainMetadata(spec.uuid).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_NE(ReasonOf(status), ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
}

TEST_F(HypervisorContract, DoesNotFindAnUnknownDomain) {
  constexpr ErrorReason kNotFound = ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND;
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomain(kUnknownUuid).status()), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomain("not a uuid").status()), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->StartDomain(kUnknownUuid)), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->ShutdownDomain(kUnknownUuid)), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->DestroyDomain(kUnknownUuid)), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->RebootDomain(kUnknownUuid)), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->ResetDomain(kUnknownUuid)), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomainMetadata(kUnknownUuid).status()), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->TakeScreenshot(kUnknownUuid).status()), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->OpenConsole(kUnknownUuid, true, {}).status()), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomainSize(kUnknownUuid).status()), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->AddVcpus(kUnknownUuid, 2)), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->RequestHotplugMemory(kUnknownUuid, 128)), kNotFound);
  EXPECT_EQ(ReasonOf(hypervisor_->SetBalloon(kUnknownUuid, 128)), kNotFound);
  EXPECT_EQ(hypervisor_->UndefineDomain(kUnknownUuid), absl::OkStatus());
}

TEST_F(HypervisorContract, DoesNothingToAStoppedDomain) {
  constexpr ErrorReason kWrongState = ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE;
  const DomainSpec spec = harness_->MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  EXPECT_EQ(hypervisor_->ShutdownDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(ReasonOf(hypervisor_->RebootDomain(spec.uuid)), kWrongState);
  EXPECT_EQ(ReasonOf(hypervisor_->ResetDomain(spec.uuid)), kWrongState);
  EXPECT_EQ(ReasonOf(hypervisor_->TakeScreenshot(spec.uuid).status()), kWrongState);
  EXPECT_EQ(ReasonOf(hypervisor_->OpenConsole(spec.uuid, true, {}).status()), kWrongState);
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomainSize(spec.uuid).status()), kWrongState);
  EXPECT_EQ(ReasonOf(hypervisor_->AddVcpus(spec.uuid, 2)), kWrongState);
  EXPECT_EQ(ReasonOf(hypervisor_->RequestHotplugMemory(spec.uuid, 128)), kWrongState);
  EXPECT_EQ(ReasonOf(hypervisor_->SetBalloon(spec.uuid, 128)), kWrongState);
}

TEST_F(HypervisorContract, StartsAndDestroys) {
  const DomainSpec spec = Run("contract-a");
  EXPECT_EQ(Get(spec).state, PowerState::kRunning);
  EXPECT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus()) << "running already";
  EXPECT_EQ(ReasonOf(hypervisor_->UndefineDomain(spec.uuid)),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_TRUE(Get(spec).persistent);
  ASSERT_TRUE(events_.WaitForState(spec.uuid, PowerState::kRunning));
  const size_t before = events_.size();
  ASSERT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(Get(spec).state, PowerState::kStopped);
  EXPECT_EQ(Get(spec).reason, "destroyed");
  EXPECT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus()) << "twice";
  ASSERT_TRUE(events_.WaitForState(spec.uuid, PowerState::kStopped, before));
  EXPECT_EQ(events_.All().back().domains[0].reason, "destroyed");
  ASSERT_EQ(hypervisor_->UndefineDomain(spec.uuid), absl::OkStatus());
  ASSERT_TRUE(events_.WaitForKind(Kind::kDomainGone));
  EXPECT_EQ(Story(events_, spec.uuid),
            (std::vector<std::string>{"stopped", "running", "stopped", "gone"}));
}

TEST_F(HypervisorContract, ShutsDownAGuestThatObeys) {
  const DomainSpec spec = Run("contract-a");
  WaitBooted(spec);
  ASSERT_EQ(hypervisor_->ShutdownDomain(spec.uuid), absl::OkStatus());
  ASSERT_TRUE(
      WaitUntil(spec, [](const DomainStatus& s) { return s.state == PowerState::kStopped; }));
  EXPECT_EQ(Get(spec).reason, "shutdown");
  ASSERT_TRUE(events_.WaitFor([&](const HypervisorEvent& event) {
    return event.kind == Kind::kDomainState && event.domains[0].uuid == spec.uuid &&
           event.domains[0].reason == "shutdown";
  }));
}

TEST_F(HypervisorContract, LeavesAGuestRunningThatIgnoresTheRequest) {
  const DomainSpec spec = Run("contract-a");
  WaitBooted(spec);
  harness_->MakeGuestDeaf(*hypervisor_, spec.uuid);
  ASSERT_EQ(hypervisor_->ShutdownDomain(spec.uuid), absl::OkStatus());
  harness_->LetGuestRun(*hypervisor_, spec.uuid);
  EXPECT_EQ(Get(spec).state, PowerState::kRunning);
  EXPECT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(Get(spec).state, PowerState::kStopped);
}

TEST_F(HypervisorContract, RebootsAndResets) {
  const DomainSpec spec = Run("contract-a");
  WaitBooted(spec);
  size_t before = events_.size();
  ASSERT_EQ(hypervisor_->RebootDomain(spec.uuid), absl::OkStatus());
  ASSERT_TRUE(events_.WaitForKind(Kind::kDomainRebooted, before));
  EXPECT_EQ(events_.All().back().domains[0].uuid, spec.uuid);
  WaitBooted(spec);
  EXPECT_EQ(Get(spec).state, PowerState::kRunning);
  before = events_.size();
  ASSERT_EQ(hypervisor_->ResetDomain(spec.uuid), absl::OkStatus());
  ASSERT_TRUE(events_.WaitForKind(Kind::kDomainRebooted, before));
  EXPECT_EQ(Get(spec).state, PowerState::kRunning);
  const std::vector<std::string> story = Story(events_, spec.uuid);
  EXPECT_EQ(std::count(story.begin(), story.end(), "stopped"), 1) << "only before the start";
}

TEST_F(HypervisorContract, ReportsAGuestWhoseQemuDied) {
  const DomainSpec spec = Run("contract-a");
  harness_->KillGuest(spec);
  ASSERT_TRUE(events_.WaitFor([&](const HypervisorEvent& event) {
    return event.kind == Kind::kDomainState && event.domains[0].uuid == spec.uuid &&
           event.domains[0].state == PowerState::kStopped && event.domains[0].reason == "crashed";
  }));
  EXPECT_EQ(Get(spec).state, PowerState::kStopped);
  EXPECT_EQ(Get(spec).reason, "crashed");
  EXPECT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
}

TEST_F(HypervisorContract, RefusesToStartASavedDomain) {
  const DomainSpec spec = Run("contract-a");
  harness_->SaveDomain(*hypervisor_, spec.uuid);
  ASSERT_TRUE(events_.WaitFor([&](const HypervisorEvent& event) {
    return event.kind == Kind::kDomainState && event.domains[0].uuid == spec.uuid &&
           event.domains[0].reason == "saved" && event.domains[0].has_managed_save;
  }));
  EXPECT_TRUE(Get(spec).has_managed_save);
  EXPECT_EQ(ReasonOf(hypervisor_->StartDomain(spec.uuid)),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(Get(spec).state, PowerState::kStopped);
  EXPECT_EQ(hypervisor_->UndefineDomain(spec.uuid), absl::OkStatus());
}

TEST_F(HypervisorContract, ResynchronisesAfterTheDaemonWasKilled) {
  const DomainSpec running = Run("contract-a");
  const DomainSpec stopped = harness_->MakeSpec("contract-b");
  ASSERT_EQ(hypervisor_->DefineDomain(stopped), absl::OkStatus());
  const size_t before = events_.size();
  harness_->KillDaemon();
  ASSERT_TRUE(events_.WaitForKind(Kind::kDisconnected, before));
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomain(running.uuid).status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOf(hypervisor_->DestroyDomain(running.uuid)),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_TRUE(hypervisor_->GetHostInfo().ok()) << "answered from the cache";
  EXPECT_LT(hypervisor_->SinceLastAnswer(), absl::Minutes(1));
  harness_->StartDaemon();
  ASSERT_TRUE(events_.WaitForKind(Kind::kConnected, before));
  std::vector<DomainStatus> domains;
  for (const HypervisorEvent& event : events_.All()) {
    if (event.kind == Kind::kConnected) domains = event.domains;
  }
  std::erase_if(domains, [](const DomainStatus& d) { return !d.name.starts_with("contract-"); });
  std::sort(domains.begin(), domains.end(),
            [](const DomainStatus& a, const DomainStatus& b) { return a.name < b.name; });
  ASSERT_EQ(domains.size(), 2u);
  EXPECT_EQ(domains[0].uuid, running.uuid);
  EXPECT_EQ(domains[0].state, PowerState::kRunning);
  EXPECT_EQ(domains[1].uuid, stopped.uuid);
  EXPECT_EQ(domains[1].state, PowerState::kStopped);
  // Events come again.
  size_t after = events_.size();
  EXPECT_EQ(hypervisor_->DestroyDomain(running.uuid), absl::OkStatus());
  EXPECT_TRUE(events_.WaitForState(running.uuid, PowerState::kStopped, after));
  after = events_.size();
  EXPECT_EQ(hypervisor_->StartDomain(running.uuid), absl::OkStatus());
  EXPECT_TRUE(events_.WaitForState(running.uuid, PowerState::kRunning, after));
}

TEST_F(HypervisorContract, GivesANewObjectTheDomainsOfTheHost) {
  const DomainSpec spec = Run("contract-a");
  hypervisor_.reset();
  EventLog log;
  const auto next = harness_->MakeHypervisor();
  next->Start(log.Handler());
  ASSERT_TRUE(log.WaitForKind(Kind::kConnected));
  const auto events = log.All();
  ASSERT_EQ(events[0].domains.size(), 1u);
  EXPECT_EQ(events[0].domains[0].uuid, spec.uuid);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kRunning) << "guests are left alone";
  next->Stop();
}

TEST_F(HypervisorContract, TellsTheDefinitionThatItWasGiven) {
  const DomainSpec spec = harness_->MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  const auto found = hypervisor_->GetDomainDefinition(spec.uuid);
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->name, spec.name);
  EXPECT_EQ(found->uuid, spec.uuid);
  EXPECT_TRUE(found->persistent);
  EXPECT_FALSE(found->autostart);
  EXPECT_EQ(found->metadata, spec.metadata);
  EXPECT_FALSE(found->machine_type.empty());
  EXPECT_TRUE(DifferencesOf(DefinitionOf(spec), *found).empty());
  // Also while it runs, and it is the definition that is told, not what runs.
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  DomainSpec other = spec;
  other.vcpus = spec.vcpus + 1;
  ASSERT_EQ(hypervisor_->DefineDomain(other), absl::OkStatus());
  const auto later = hypervisor_->GetDomainDefinition(spec.uuid);
  ASSERT_TRUE(later.ok()) << later.status();
  EXPECT_EQ(DifferencesOf(DefinitionOf(spec), *later).size(), 1u);
  EXPECT_TRUE(DifferencesOf(DefinitionOf(other), *later).empty());
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomainDefinition(kUnknownUuid).status()),
            ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
}

TEST_F(HypervisorContract, SetsAndRemovesTheMetadataAndNothingElse) {
  const DomainSpec spec = Run("contract-a");
  const auto before = hypervisor_->GetDomainDefinition(spec.uuid);
  ASSERT_TRUE(before.ok());
  const std::string text = "<&>\"' \u00fc {\"a\": 1}";
  ASSERT_EQ(hypervisor_->SetDomainMetadata(spec.uuid, text), absl::OkStatus());
  EXPECT_EQ(*hypervisor_->GetDomainMetadata(spec.uuid), text) << "of the running domain";
  auto after = hypervisor_->GetDomainDefinition(spec.uuid);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->metadata, text) << "of the definition";
  EXPECT_TRUE(DifferencesOf(*before, *after).empty());
  ASSERT_EQ(hypervisor_->SetDomainMetadata(spec.uuid, ""), absl::OkStatus());
  EXPECT_EQ(hypervisor_->SetDomainMetadata(spec.uuid, ""), absl::OkStatus()) << "again";
  EXPECT_TRUE(absl::IsNotFound(hypervisor_->GetDomainMetadata(spec.uuid).status()));
  EXPECT_EQ(hypervisor_->GetDomainDefinition(spec.uuid)->metadata, "");
  ASSERT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus());
  ASSERT_EQ(hypervisor_->SetDomainMetadata(spec.uuid, text), absl::OkStatus());
  EXPECT_EQ(*hypervisor_->GetDomainMetadata(spec.uuid), text) << "of a domain that is off";
  EXPECT_EQ(ReasonOf(hypervisor_->SetDomainMetadata(kUnknownUuid, text)),
            ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
}

TEST_F(HypervisorContract, SetsTheAutomaticStartAndADefinitionTurnsItOff) {
  const DomainSpec spec = harness_->MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->SetAutostart(spec.uuid, true), absl::OkStatus());
  EXPECT_TRUE(hypervisor_->GetDomainDefinition(spec.uuid)->autostart);
  ASSERT_EQ(hypervisor_->SetAutostart(spec.uuid, false), absl::OkStatus());
  EXPECT_FALSE(hypervisor_->GetDomainDefinition(spec.uuid)->autostart);
  ASSERT_EQ(hypervisor_->SetAutostart(spec.uuid, true), absl::OkStatus());
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  EXPECT_FALSE(hypervisor_->GetDomainDefinition(spec.uuid)->autostart);
}

TEST_F(HypervisorContract, MeasuresADisk) {
  const DomainSpec spec = harness_->MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  const auto bytes = hypervisor_->GetDiskBytes(spec.uuid, "vda");
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_GE(*bytes, uint64_t{1} << 20);
  EXPECT_FALSE(hypervisor_->GetDiskBytes(spec.uuid, "vdz").ok());
}

}  // namespace
}  // namespace cvm::hypervisor
