// SPDX-License-Identifier: Apache-2.0
//
// CheckHost and RepairHost: what lies on the host and is nobody's.
#include <chrono>
#include <filesystem>

#include "agent/core/host_check.h"
#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainSpec;
using hypervisor::FakeMethod;
using hypervisor::PowerState;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;
using v1::Finding;
using v1::Operation;

constexpr char kId[] = "ins-00000001";

class CheckTest : public ::testing::Test {
 protected:
  CheckTest() {
    agent_.ImportBase();
    agent_.Run(agent_.instances().Create(agent_.caller, agent_.BigCreateRequest(kId)));
    agent_.Settle();
  }

  void Plant(const std::string& path) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    ASSERT_TRUE(WriteFileAtomically(path, "planted", 0600).ok());
  }

  std::vector<std::string> Found() {
    std::vector<std::string> words;
    const auto response = agent_.hosts().Check();
    EXPECT_TRUE(response.ok()) << response.status();
    if (!response.ok()) return words;
    for (const Finding& finding : response->findings()) {
      words.push_back(Finding::Kind_Name(finding.kind()) + " " + finding.object());
      EXPECT_FALSE(finding.message().empty());
      EXPECT_EQ(finding.message().find(agent_.paths().state_dir()), std::string::npos);
    }
    return words;
  }

  absl::StatusOr<Operation> Repair(const std::vector<Finding::Kind>& kinds = {},
                                   const std::string& request_id = "") {
    v1::RepairHostRequest request;
    request.set_request_id(request_id);
    for (const Finding::Kind kind : kinds) request.add_kinds(kind);
    return agent_.hosts().Repair(agent_.caller, request);
  }

  void PlantAll() {
    Plant(agent_.paths().Volume("disk-orphan01"));
    Plant(agent_.paths().PartialImage("img-orphan01"));
    Plant(agent_.paths().Image("img-orphan02"));
    Plant(agent_.paths().ConfigDrive("ins-orphan01", 1));
    Plant(agent_.paths().ConfigDrive(kId, 2));
    Plant(agent_.paths().Volumes() + "/notes.txt");
    agent_.bridges.AddTap("cvmorphan01-0");
    agent_.bridges.AddTap("tap-of-others");
  }

  AgentHarness agent_;
};

TEST_F(CheckTest, FindsNothingOnAHostThatIsAsTheRecordsSay) {
  agent_.bridges.AddTap("cvm00000001-0");  // of the running guest
  EXPECT_THAT(Found(), IsEmpty());
}

TEST_F(CheckTest, FindsWhatIsNobodysAndRemovesIt) {
  PlantAll();
  const std::vector<std::string> found = Found();
  EXPECT_THAT(found, UnorderedElementsAre("ORPHANED_DISK disk-orphan01.qcow2",
                                          "PARTIAL_IMAGE img-orphan01.qcow2.partial",
                                          "ORPHANED_IMAGE img-orphan02.qcow2",
                                          "ORPHANED_INSTANCE_FOLDER ins-orphan01",
                                          "ORPHANED_ISO ins-00000001/config-drive-2.iso",
                                          "UNKNOWN_FILE notes.txt", "ORPHANED_TAP cvmorphan01-0"));
  EXPECT_EQ(Found(), found) << "a check changes nothing";
  const Operation operation = agent_.Run(Repair());
  EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  EXPECT_EQ(operation.target_id(), "host");
  EXPECT_THAT(Found(),
              UnorderedElementsAre("ORPHANED_IMAGE img-orphan02.qcow2", "UNKNOWN_FILE notes.txt"));
  EXPECT_EQ(agent_.bridges.taps(), std::set<std::string>{"tap-of-others"});
  EXPECT_EQ(agent_.Run(Repair({Finding::ORPHANED_IMAGE})).state(), Operation::SUCCESS);
  EXPECT_THAT(Found(), UnorderedElementsAre("UNKNOWN_FILE notes.txt"));
  std::filesystem::remove(agent_.paths().Volumes() + "/notes.txt");
  agent_.ExpectNothingLeftOver();
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
}

TEST_F(CheckTest, RepairsOnlyTheKindsThatAreNamed) {
  PlantAll();
  EXPECT_EQ(agent_.Run(Repair({Finding::ORPHANED_TAP})).state(), Operation::SUCCESS);
  EXPECT_TRUE(std::filesystem::exists(agent_.paths().Volume("disk-orphan01")));
  EXPECT_EQ(agent_.bridges.taps(), std::set<std::string>{"tap-of-others"});
  for (const Finding::Kind kind :
       {Finding::FOREIGN_DOMAIN, Finding::UNKNOWN_FILE, Finding::DISK_MISSING}) {
    EXPECT_EQ(ReasonOf(Repair({kind}).status()), ErrorReason::ERROR_REASON_INVALID_FIELD);
  }
  EXPECT_EQ(ReasonOf(Repair({static_cast<Finding::Kind>(99)}).status()),
            ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE);
}

TEST_F(CheckTest, ADiskThatIsOlderThanTheStoreIsRemovedOnlyWhenItIsNamed) {
  const std::string path = agent_.paths().Volume("disk-orphan01");
  Plant(path);
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  EXPECT_THAT(Found(), UnorderedElementsAre("LOST_DISK disk-orphan01.qcow2"));
  EXPECT_EQ(agent_.Run(Repair()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Run(Repair({Finding::ORPHANED_DISK})).state(), Operation::SUCCESS);
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(agent_.Run(Repair({Finding::LOST_DISK})).state(), Operation::SUCCESS);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(CheckTest, ADryRunRemovesNothing) {
  PlantAll();
  v1::RepairHostRequest request;
  request.set_validate_only(true);
  const auto dry = agent_.hosts().Repair(agent_.caller, request);
  ASSERT_TRUE(dry.ok());
  EXPECT_TRUE(dry->validate_only());
  EXPECT_TRUE(std::filesystem::exists(agent_.paths().Volume("disk-orphan01")));
}

TEST_F(CheckTest, WhatAnOperationUnderWayOwnsIsNoOrphan) {
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  const auto creation =
      agent_.instances().Create(agent_.caller, agent_.BigCreateRequest("ins-00000002"));
  ASSERT_TRUE(creation.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  const std::set<std::string> files = agent_.Files();
  EXPECT_THAT(Found(), IsEmpty());
  EXPECT_EQ(agent_.Run(Repair()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Files(), files);
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(creation->id()).state(), Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
}

TEST_F(CheckTest, WhatOnlyTheNotesOfAnOperationSpeakOfIsNoOrphan) {
  Plant(agent_.paths().Volume("disk-innotes1"));
  store::OperationRecord record;
  record.mutable_operation()->set_id("op-00000000");
  record.mutable_operation()->set_target_id(kId);
  (*record.mutable_notes())["new-disk"] = "disk-innotes1";
  StoreChange change;
  change.put_operations.push_back(record);
  ASSERT_TRUE(agent_.store().Apply(change).ok());
  EXPECT_THAT(Found(), IsEmpty());
  *change.put_operations[0].mutable_operation()->mutable_end_time() =
      ToTimestamp(agent_.clock.Now());
  ASSERT_TRUE(agent_.store().Apply(change).ok());
  EXPECT_THAT(Found(), UnorderedElementsAre("ORPHANED_DISK disk-innotes1.qcow2"));
}

TEST_F(CheckTest, ARemovalLooksAgainJustBefore) {
  Plant(agent_.paths().Volume("disk-orphan01"));
  Finding stale;
  stale.set_kind(Finding::ORPHANED_DISK);
  stale.set_object(
      std::filesystem::path(agent_.paths().Volume(agent_.Find(kId)->spec().system_disk().id()))
          .filename());
  ASSERT_TRUE(RemoveOrphan(agent_.core(), stale).ok());
  EXPECT_TRUE(
      std::filesystem::exists(agent_.paths().Volume(agent_.Find(kId)->spec().system_disk().id())));
  for (const char* object : {"../request-id.key", "disk-orphan01.qcow2/..", "", "/etc/passwd"}) {
    for (const Finding::Kind kind :
         {Finding::ORPHANED_DISK, Finding::ORPHANED_ISO, Finding::ORPHANED_INSTANCE_FOLDER,
          Finding::PARTIAL_IMAGE, Finding::ORPHANED_IMAGE}) {
      stale.set_kind(kind);
      stale.set_object(object);
      EXPECT_TRUE(RemoveOrphan(agent_.core(), stale).ok());
    }
  }
  EXPECT_TRUE(std::filesystem::exists(agent_.paths().Volume("disk-orphan01")));
  EXPECT_TRUE(std::filesystem::exists(agent_.paths().Instance(kId)));
}

TEST_F(CheckTest, ADiskThatAForeignDomainUsesIsNoOrphan) {
  Plant(agent_.paths().Volume("disk-borrowed"));
  DomainSpec spec;
  spec.name = "borrower";
  spec.uuid = "11111111-2222-4333-8444-555555555555";
  spec.disks.push_back({.id = "x", .path = agent_.paths().Volume("disk-borrowed")});
  agent_.host->AddForeignDomain(spec, PowerState::kRunning, true);
  EXPECT_THAT(Found(), UnorderedElementsAre("FOREIGN_DOMAIN borrower"));
  EXPECT_EQ(agent_.Run(Repair()).state(), Operation::SUCCESS);
  EXPECT_TRUE(std::filesystem::exists(agent_.paths().Volume("disk-borrowed")));
  EXPECT_EQ(agent_.host->Domains().size(), 2u) << "a foreign domain is never touched";
}

TEST_F(CheckTest, FilesOfALostRecordAreNotRemovedBeforeItIsBack) {
  const std::set<std::string> files = agent_.Files();
  LedgerChange loss;
  loss.erase_instances.emplace_back(kId);
  ASSERT_TRUE(agent_.ledger().Commit(loss).ok());
  const auto repair = Repair();
  ASSERT_TRUE(repair.ok());
  ASSERT_TRUE(agent_.WaitFor([&] {
    return agent_.engine().Get(repair->id())->stage().find("trying again") != std::string::npos;
  }));
  EXPECT_EQ(agent_.Files(), files);
  ASSERT_TRUE(agent_.reconciler().Pass().ok());
  EXPECT_EQ(agent_.WaitEndAdvancing(repair->id()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Files(), files);
  agent_.ExpectNothingLeftOver();
}

TEST_F(CheckTest, DriftIsRepairedWhenNamedAndTheGuestRunsOn) {
  const std::string uuid = agent_.UuidOf(kId);
  ASSERT_TRUE(agent_.host->EditDomain(uuid, [](DomainSpec& spec) { spec.vcpus = 4; }).ok());
  EXPECT_THAT(Found(), UnorderedElementsAre("DEFINITION_DRIFT ins-00000001"));
  EXPECT_EQ(agent_.Run(Repair()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.host->FindSpec(uuid)->vcpus, 4u);
  const Operation operation = agent_.WaitEndAdvancing(Repair({Finding::DEFINITION_DRIFT})->id());
  EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  EXPECT_EQ(agent_.host->FindSpec(uuid)->vcpus, 1u);
  EXPECT_THAT(Found(), IsEmpty());
  EXPECT_EQ(agent_.host->Boots(uuid), 1);
}

TEST_F(CheckTest, AMissingDomainIsRepairedAndAFailureIsTold) {
  const std::string uuid = agent_.UuidOf(kId);
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid).ok());  // transient
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid).ok());
  agent_.Settle();
  agent_.host->FailNext(FakeMethod::kDefineDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  Operation operation = agent_.WaitEndAdvancing(Repair()->id());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  operation = agent_.WaitEndAdvancing(Repair()->id());
  EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kStopped);
}

TEST_F(CheckTest, OneRepairAtATimeAndNoneWithoutLibvirt) {
  agent_.host->HangNext(FakeMethod::kListDomains);
  const auto first = Repair();
  ASSERT_TRUE(first.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kListDomains));
  EXPECT_EQ(ReasonOf(Repair().status()), ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
  agent_.host->ReleaseHung(FakeMethod::kListDomains, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEndAdvancing(first->id()).state(), Operation::SUCCESS);
  agent_.host->Disconnect();
  agent_.Settle();
  EXPECT_EQ(ReasonOf(Repair().status()), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOf(agent_.hosts().Check().status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
}

}  // namespace
}  // namespace cvm::agent::core
