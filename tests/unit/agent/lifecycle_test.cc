// SPDX-License-Identifier: Apache-2.0
//
// Create and delete, from the request to the files and the domain.
#include <filesystem>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using hypervisor::PowerState;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using v1::Operation;

class LifecycleTest : public ::testing::Test {
 protected:
  LifecycleTest() { agent_.ImportBase(); }

  Operation Create(const v1::CreateInstanceRequest& request) {
    const Operation operation = agent_.Run(agent_.instances().Create(agent_.caller, request));
    agent_.Settle();
    return operation;
  }

  absl::StatusOr<Operation> SubmitDelete(const std::string& id) {
    v1::DeleteInstanceRequest request;
    request.set_instance_id(id);
    return agent_.instances().Delete(agent_.caller, request);
  }

  AgentHarness agent_;
};

TEST_F(LifecycleTest, ImportsAnImage) {
  const auto image = agent_.images().Get("img-base0000");
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->state(), v1::Image::READY);
  EXPECT_EQ(image->virtual_size_bytes(), uint64_t{4} << 20);
  EXPECT_GT(image->stored_size_bytes(), 0u);
  EXPECT_EQ(image->sha256().size(), 64u);
  EXPECT_EQ(image->properties().default_user(), "root");
  EXPECT_EQ(image->properties().machine_family(), v1::MACHINE_FAMILY_Q35);
  EXPECT_EQ(image->properties().cdrom_bus(), v1::CDROM_BUS_SCSI);
  agent_.ExpectNothingLeftOver();
}

TEST_F(LifecycleTest, CreatesARunningInstanceWithDisksAndNics) {
  v1::CreateInstanceRequest request = agent_.BigCreateRequest("ins-00000001", "r1");
  v1::InstanceSpec& spec = *request.mutable_spec();
  spec.set_name("<name> & \"quotes\" ]]> ü");
  spec.set_vcpus(2);
  spec.mutable_nics(0)->set_mac("52:54:00:AA:BB:CC");
  spec.mutable_nics(1)->set_ipv4_address("10.78.0.3");
  spec.mutable_nics(1)->add_ipv6_addresses("2001:DB8:0::5/64");
  spec.mutable_data_disks(1)->set_id("disk-given000");
  spec.set_user_data("#!/bin/sh\n");
  spec.mutable_login()->set_password_hash(
      "$6$saltsalt$"
      "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/");
  const Operation operation = Create(request);
  ASSERT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  EXPECT_EQ(operation.percent(), 100u);
  EXPECT_EQ(operation.request_id(), "r1");
  EXPECT_TRUE(operation.has_end_time());

  const InstancePtr instance = agent_.Find("ins-00000001");
  ASSERT_NE(instance, nullptr);
  EXPECT_EQ(instance->state(), v1::RUNNING);
  EXPECT_EQ(instance->wanted_power(), v1::WANTED_POWER_ON);
  EXPECT_EQ(instance->observed_power().reason(), "booted");
  EXPECT_EQ(instance->spec().machine_type(), "pc-q35-7.2");
  EXPECT_EQ(instance->spec().host_name(), "ins-00000001");
  EXPECT_EQ(instance->spec().system_disk().size_bytes(), uint64_t{1} << 30);
  EXPECT_EQ(instance->spec().nics(0).ipv4_address(), "10.77.0.2");
  EXPECT_EQ(instance->spec().nics(1).ipv6_addresses(0), "2001:db8::5/64");
  EXPECT_EQ(instance->DebugString().find("saltsalt"), std::string::npos);
  EXPECT_EQ(instance->latest_operation().id(), operation.id());
  agent_.ExpectNothingLeftOver();

  const auto domain = agent_.host->FindSpec(instance->uuid());
  ASSERT_TRUE(domain.has_value());
  EXPECT_EQ(domain->name, "ins-00000001");
  EXPECT_EQ(domain->title, "<name> & \"quotes\" ]]> ü");
  EXPECT_EQ(domain->vcpus, 2u);
  EXPECT_EQ(domain->memory_mib, 128u);
  const Paths& paths = agent_.paths();
  ASSERT_EQ(domain->disks.size(), 3u);
  EXPECT_EQ(domain->disks[0].id, instance->spec().system_disk().id());
  EXPECT_EQ(domain->disks[1].id, instance->spec().data_disks(0).id());
  EXPECT_EQ(domain->disks[2].id, "disk-given000");
  for (const hypervisor::DiskDevice& disk : domain->disks) {
    EXPECT_EQ(disk.path, paths.Volume(disk.id));
    EXPECT_EQ(disk.format, hypervisor::DiskFormat::kQcow2);
    EXPECT_EQ(disk.cache, hypervisor::CacheMode::kNone);
  }
  EXPECT_EQ(domain->cdroms[0].path, paths.ConfigDrive("ins-00000001", 1));
  EXPECT_EQ(domain->cdroms[1].path, "");
  ASSERT_EQ(domain->nics.size(), 2u);
  EXPECT_EQ(domain->nics[0].mac, "52:54:00:aa:bb:cc");
  EXPECT_EQ(domain->nics[0].bridge, "br-a");
  EXPECT_EQ(domain->nics[0].mtu, 1400u);
  EXPECT_EQ(domain->nics[0].tap_name, "cvm00000001-0");
  EXPECT_EQ(domain->nics[1].bridge, "br-b");
  EXPECT_EQ(domain->nics[1].tap_name, "cvm00000001-1");
  EXPECT_EQ(domain->nics[1].mac, instance->spec().nics(1).mac());
  EXPECT_EQ(domain->console_log_path, paths.ConsoleLog("ins-00000001"));
  EXPECT_THAT(domain->metadata, AllOf(HasSubstr("ins-00000001"), Not(HasSubstr("saltsalt"))));

  const auto sizes = [&](const std::string& id) {
    return agent_.core().disk_images.Inspect(paths.Volume(id))->virtual_size_bytes;
  };
  EXPECT_EQ(sizes(instance->spec().system_disk().id()), uint64_t{1} << 30);
  EXPECT_EQ(sizes(instance->spec().data_disks(0).id()), uint64_t{8} << 20);
  EXPECT_EQ(sizes("disk-given000"), uint64_t{16} << 20);
  EXPECT_EQ(std::filesystem::status(paths.ConfigDrive("ins-00000001", 1)).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(LifecycleTest, CreatesWithoutStarting) {
  v1::CreateInstanceRequest request = agent_.CreateRequest("ins-00000001");
  request.set_start(v1::CreateInstanceRequest::START_NO);
  EXPECT_EQ(Create(request).percent(), 100u);
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::STOPPED);
  EXPECT_EQ(agent_.Find("ins-00000001")->wanted_power(), v1::WANTED_POWER_OFF);
  EXPECT_EQ(agent_.DomainStateOf("ins-00000001"), PowerState::kStopped);
  agent_.ExpectNothingLeftOver();
}

TEST_F(LifecycleTest, MakesTheIdsThatAreNotGiven) {
  const Operation operation = Create(agent_.CreateRequest(""));
  EXPECT_EQ(operation.state(), Operation::SUCCESS);
  EXPECT_TRUE(IsId(kInstancePrefix, operation.target_id()));
  EXPECT_FALSE(operation.request_id().empty());
  EXPECT_NE(agent_.Find(operation.target_id()), nullptr);
}

TEST_F(LifecycleTest, DeletesEverythingInEveryPowerState) {
  Create(agent_.BigCreateRequest("ins-running0"));
  Create(agent_.CreateRequest("ins-stopped0"));
  Create(agent_.CreateRequest("ins-paused00"));
  ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf("ins-stopped0")).ok());
  ASSERT_TRUE(agent_.host->GuestPauses(agent_.UuidOf("ins-paused00"), "io-error").ok());
  // A tap that a killed QEMU left.
  agent_.bridges.AddTap("cvmrunning0-1");
  agent_.bridges.AddTap("somebodys");
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf("ins-paused00"), v1::PAUSED);
  for (const char* id : {"ins-running0", "ins-stopped0", "ins-paused00"}) {
    EXPECT_EQ(agent_.Run(SubmitDelete(id)).state(), Operation::SUCCESS) << id;
    EXPECT_EQ(agent_.Find(id), nullptr);
    EXPECT_EQ(agent_.DomainStateOf(id), std::nullopt);
  }
  agent_.ExpectNothingLeftOver();
  EXPECT_EQ(agent_.bridges.taps(), std::set<std::string>{"somebodys"});
  EXPECT_EQ(ReasonOf(SubmitDelete("ins-running0").status()),
            ErrorReason::ERROR_REASON_INSTANCE_NOT_FOUND);
}

TEST_F(LifecycleTest, DeletesAnInstanceWhoseDomainSomebodyRemoved) {
  Create(agent_.CreateRequest("ins-00000001"));
  const std::string uuid = agent_.UuidOf("ins-00000001");
  ASSERT_TRUE(agent_.host->RemoveDomain(uuid).ok());
  ASSERT_TRUE(agent_.host->GuestShutsDown(uuid).ok());
  agent_.Settle();
  EXPECT_EQ(agent_.Find("ins-00000001")->observed_power().state(), v1::ObservedPower::ABSENT);
  EXPECT_EQ(agent_.Run(SubmitDelete("ins-00000001")).state(), Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
}

TEST_F(LifecycleTest, AnInstanceThatIsBeingDeletedStillStandsOnItsImage) {
  Create(agent_.CreateRequest("ins-00000001"));
  LedgerChange change;
  change.UpdateInstance("ins-00000001", [](v1::Instance& instance) {
    instance.set_lifecycle(v1::LIFECYCLE_DELETED);  // undefined, and its disk not removed yet
  });
  ASSERT_TRUE(agent_.ledger().Commit(change).ok());
  EXPECT_EQ(agent_.images().Get("img-base0000")->instance_count(), 1u);
}

TEST_F(LifecycleTest, KeepsAProtectedInstanceAndOneOfAnotherEtag) {
  v1::CreateInstanceRequest request = agent_.CreateRequest("ins-00000001");
  request.mutable_spec()->set_termination_protection(true);
  Create(request);
  EXPECT_EQ(ReasonOf(SubmitDelete("ins-00000001").status()),
            ErrorReason::ERROR_REASON_TERMINATION_PROTECTED);
  Create(agent_.CreateRequest("ins-00000002"));
  v1::DeleteInstanceRequest deletion;
  deletion.set_instance_id("ins-00000002");
  deletion.set_etag("0");
  EXPECT_EQ(ReasonOf(agent_.instances().Delete(agent_.caller, deletion).status()),
            ErrorReason::ERROR_REASON_ETAG_MISMATCH);
  deletion.set_etag(agent_.Find("ins-00000002")->etag());
  EXPECT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, deletion)).state(),
            Operation::SUCCESS);
}

// --- Failures ---

class FailingStepTest : public LifecycleTest, public ::testing::WithParamInterface<FakeMethod> {};

TEST_P(FailingStepTest, LeavesALaunchFailedRecordThatHoldsNothing) {
  agent_.host->FailNext(GetParam(),
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "QEMU will not"));
  v1::CreateInstanceRequest request = agent_.BigCreateRequest("ins-00000001");
  request.mutable_spec()->mutable_nics(0)->set_ipv4_address("10.77.0.9");
  request.mutable_spec()->mutable_nics(0)->set_mac("52:54:00:00:00:09");
  request.mutable_spec()->set_user_data("secret");
  const Operation operation = Create(request);
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_FALSE(operation.undoing());
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_THAT(operation.error().message(), HasSubstr("QEMU will not"));
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::LAUNCH_FAILED);
  EXPECT_TRUE(agent_.host->Domains().empty());
  EXPECT_EQ(agent_.store().LoadSecrets("ins-00000001")->user_data, "");
  agent_.ExpectNothingLeftOver();

  // It is refused what needs a guest, keeps its name, and its resources are free again.
  v1::StartInstanceRequest start;
  start.set_instance_id("ins-00000001");
  EXPECT_EQ(ReasonOf(agent_.instances().Start(agent_.caller, start).status()),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(ReasonOf(agent_.instances().Create(agent_.caller, request).status()),
            ErrorReason::ERROR_REASON_INSTANCE_EXISTS);
  request.set_instance_id("ins-00000002");
  EXPECT_EQ(Create(request).state(), Operation::SUCCESS);

  agent_.Restart();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::LAUNCH_FAILED);
  EXPECT_EQ(agent_.Run(SubmitDelete("ins-00000001")).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find("ins-00000001"), nullptr);
  agent_.ExpectNothingLeftOver();
}

INSTANTIATE_TEST_SUITE_P(All, FailingStepTest,
                         ::testing::Values(FakeMethod::kDefineDomain, FakeMethod::kStartDomain));

TEST_F(LifecycleTest, KeepsALaunchFailedRecordEmptyWhenItsDeletionFails) {
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  v1::CreateInstanceRequest request = agent_.BigCreateRequest("ins-00000001");
  request.mutable_spec()->mutable_nics(0)->set_ipv4_address("10.77.0.9");
  Create(request);
  agent_.host->FailNext(FakeMethod::kDestroyDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  EXPECT_EQ(agent_.Run(SubmitDelete("ins-00000001")).state(), Operation::FAILED);
  // What it once had may belong to another by now.
  request.set_instance_id("ins-00000002");
  EXPECT_EQ(Create(request).state(), Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
  EXPECT_EQ(agent_.Run(SubmitDelete("ins-00000001")).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.StateOf("ins-00000002"), v1::RUNNING);
  agent_.ExpectNothingLeftOver();
}

TEST_F(LifecycleTest, DoesNotGiveADiskIdOfALaunchFailedRecordToAnother) {
  // Deleting the record would remove the other's disk.
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  v1::CreateInstanceRequest request = agent_.CreateRequest("ins-00000001");
  request.mutable_spec()->mutable_system_disk()->set_id("disk-shared00");
  EXPECT_EQ(Create(request).state(), Operation::FAILED);
  request.set_instance_id("ins-00000002");
  EXPECT_EQ(ReasonOf(agent_.instances().Create(agent_.caller, request).status()),
            ErrorReason::ERROR_REASON_DUPLICATE_ID);
}

TEST_F(LifecycleTest, UndoesACreateWhoseStartWasDoneButNotAnswered) {
  agent_.host->LoseNextAnswer(FakeMethod::kStartDomain,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "lost"));
  EXPECT_EQ(Create(agent_.BigCreateRequest("ins-00000001")).state(), Operation::FAILED);
  EXPECT_TRUE(agent_.host->Domains().empty());
  agent_.ExpectNothingLeftOver();
}

TEST_F(LifecycleTest, HidesHostPathsInTheErrorsOfAnOperation) {
  // A folder where the file of the disk should go.
  v1::CreateInstanceRequest request = agent_.CreateRequest("ins-00000001");
  request.mutable_spec()->mutable_system_disk()->set_id("disk-blocked0");
  const std::string blocked = agent_.paths().Volume("disk-blocked0");
  std::filesystem::create_directories(blocked + "/in-it");
  const auto submitted = agent_.instances().Create(agent_.caller, request);
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] {
    return agent_.engine().Get(submitted->id())->stage().find("trying again") != std::string::npos;
  }));
  const Operation undoing = *agent_.engine().Get(submitted->id());
  EXPECT_TRUE(undoing.undoing());
  EXPECT_THAT(undoing.DebugString(), Not(HasSubstr(agent_.paths().state_dir())));
  std::filesystem::remove_all(blocked);
  EXPECT_EQ(agent_.WaitEndAdvancing(submitted->id()).state(), Operation::FAILED);
  agent_.ExpectNothingLeftOver();
}

// --- libvirt lost in the middle ---

TEST_F(LifecycleTest, WaitsForTheHypervisorAndGoesOn) {
  agent_.host->HangNext(FakeMethod::kStartDomain);
  const auto submitted =
      agent_.instances().Create(agent_.caller, agent_.BigCreateRequest("ins-00000001"));
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kStartDomain));
  agent_.host->Disconnect();
  ASSERT_TRUE(agent_.WaitFor([&] {
    return agent_.engine().Get(submitted->id())->stage().find("trying again") != std::string::npos;
  }));
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::PENDING);
  agent_.host->Reconnect();
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
  agent_.ExpectNothingLeftOver();
}

TEST_F(LifecycleTest, UndoesAfterTheGraceAsSoonAsTheHypervisorIsBack) {
  agent_.host->HangNext(FakeMethod::kStartDomain);
  const auto submitted =
      agent_.instances().Create(agent_.caller, agent_.BigCreateRequest("ins-00000001"));
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kStartDomain));
  agent_.host->Disconnect();
  ASSERT_TRUE(agent_.WaitFor([&] {
    agent_.Advance(absl::Seconds(30));
    return agent_.engine().Get(submitted->id())->undoing();
  }));
  EXPECT_EQ(agent_.engine().Get(submitted->id())->state(), Operation::OPERATING);
  agent_.host->Reconnect();
  const Operation operation = agent_.WaitEndAdvancing(submitted->id());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::LAUNCH_FAILED);
  agent_.ExpectNothingLeftOver();
}

TEST_F(LifecycleTest, RefusesANewInstanceWithoutTheHypervisor) {
  agent_.host->Disconnect("libvirtd is gone");
  agent_.Settle();
  const auto refused =
      agent_.instances().Create(agent_.caller, agent_.CreateRequest("ins-00000001"));
  EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(agent_.Find("ins-00000001"), nullptr);
}

// --- Images ---

TEST_F(LifecycleTest, DeletesAnImageOnlyWhenNoDiskStandsOnIt) {
  v1::DeleteImageRequest deletion;
  deletion.set_image_id("img-base0000");
  const auto submit = [&] { return agent_.images().Delete(agent_.caller, deletion); };
  agent_.MakeInstance("ins-00000001");
  EXPECT_EQ(ReasonOf(submit().status()), ErrorReason::ERROR_REASON_IMAGE_IN_USE);
  EXPECT_EQ(agent_.images().Get("img-base0000")->instance_count(), 1u);
  agent_.Run(SubmitDelete("ins-00000001"));
  deletion.set_etag("other");
  EXPECT_EQ(ReasonOf(submit().status()), ErrorReason::ERROR_REASON_ETAG_MISMATCH);
  deletion.set_etag(agent_.images().Get("img-base0000")->etag());
  EXPECT_EQ(agent_.Run(submit()).state(), Operation::SUCCESS);
  EXPECT_EQ(ReasonOf(submit().status()), ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND);
  EXPECT_TRUE(agent_.Files().empty());
}

TEST_F(LifecycleTest, LeavesNothingOfAFailedImport) {
  v1::ImportImageRequest request = agent_.ImportRequest("img-other000", "");
  request.set_sha256(std::string(64, 'A'));
  Operation operation = agent_.Run(agent_.images().Import(agent_.caller, request));
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_CHECKSUM_MISMATCH);
  request.clear_sha256();
  request.set_format(v1::DISK_FORMAT_RAW);
  operation = agent_.Run(agent_.images().Import(agent_.caller, request));
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_IMAGE_FORMAT_MISMATCH);
  EXPECT_EQ(ReasonOf(agent_.images().Get("img-other000").status()),
            ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND);
  agent_.ExpectNothingLeftOver();

  // Upper case is as good as lower case.
  request.set_format(v1::DISK_FORMAT_QCOW2);
  std::string sha256 = agent_.images().Get("img-base0000")->sha256();
  for (char& c : sha256) c = static_cast<char>(toupper(c));
  request.set_sha256(sha256);
  EXPECT_EQ(agent_.Run(agent_.images().Import(agent_.caller, request)).state(), Operation::SUCCESS);
}

TEST_F(LifecycleTest, RefusesImagesThatCannotBeImported) {
  v1::ImportImageRequest request = agent_.ImportRequest("img-base0000", "");
  const auto reason = [&] {
    return ReasonOf(agent_.images().Import(agent_.caller, request).status());
  };
  EXPECT_EQ(reason(), ErrorReason::ERROR_REASON_IMAGE_EXISTS);
  request.set_image_id("");
  request.set_source_file("absent.qcow2");
  EXPECT_EQ(reason(), ErrorReason::ERROR_REASON_SOURCE_NOT_FOUND);
  for (const char* bad : {"../state/state.db", "/etc/passwd", "a/../b"}) {
    request.set_source_file(bad);
    EXPECT_EQ(reason(), ErrorReason::ERROR_REASON_INVALID_FIELD) << bad;
  }
  std::filesystem::create_symlink("base.qcow2", agent_.config.import_dir + "/link");
  request.set_source_file("link");
  EXPECT_EQ(reason(), ErrorReason::ERROR_REASON_SOURCE_NOT_FOUND);
  request.set_source_file(".");
  EXPECT_EQ(reason(), ErrorReason::ERROR_REASON_SOURCE_NOT_FOUND);
}

TEST_F(LifecycleTest, ListsInPages) {
  for (const char* id : {"ins-00000003", "ins-00000001", "ins-00000002"}) {
    v1::CreateInstanceRequest request = agent_.CreateRequest(id);
    request.set_owner(std::string(id) == "ins-00000002" ? "bob" : "alice");
    Create(request);
  }
  v1::ListInstancesRequest request;
  // The ids of the page, and the token of the next one in the request.
  const auto next_page = [&] {
    std::vector<std::string> ids;
    const auto page = agent_.instances().List(request);
    EXPECT_TRUE(page.ok()) << page.status();
    for (const EncodedInstance& encoded : page->instances) ids.push_back(encoded.instance->id());
    request.set_page_token(page->next_page_token);
    return ids;
  };
  request.set_page_size(2);
  EXPECT_THAT(next_page(), ElementsAre("ins-00000001", "ins-00000002"));
  EXPECT_THAT(next_page(), ElementsAre("ins-00000003"));
  EXPECT_EQ(request.page_token(), "");
  request.set_owner("alice");
  request.set_page_size(1);
  EXPECT_THAT(next_page(), ElementsAre("ins-00000001"));
  EXPECT_THAT(next_page(), ElementsAre("ins-00000003"));
  EXPECT_EQ(request.page_token(), "");
}

}  // namespace
}  // namespace cvm::agent::core
