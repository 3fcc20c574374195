// SPDX-License-Identifier: Apache-2.0
//
// EnterRescue and ExitRescue: what is booted, and that the instance goes back to exactly what it
// was.
#include <unistd.h>

#include <functional>

#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using ::testing::HasSubstr;
using ::testing::Not;
using v1::ObservedPower;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
constexpr char kRescue[] = "img-rescue00";
constexpr char kIso[] = "isos/rescue.iso";
constexpr char kOwnHash[] =
    "$6$ownownow$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
constexpr char kHash[] =
    "$6$saltsalt$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

// Everything in which two definitions could differ.
std::string Text(const hypervisor::DomainSpec& spec) {
  std::string text = spec.title + "\n" + spec.machine_type + "\n" + spec.nvram_path + "\n" +
                     std::to_string(static_cast<int>(spec.firmware)) +
                     std::to_string(static_cast<int>(spec.os_family)) +
                     std::to_string(static_cast<int>(spec.cdrom_bus)) +
                     std::to_string(static_cast<int>(spec.machine_family)) +
                     std::to_string(spec.boots_rescue_medium) + " " + std::to_string(spec.vcpus) +
                     " " + std::to_string(spec.memory_mib) + "\n";
  for (const hypervisor::DiskDevice& disk : spec.disks) text += disk.id + " " + disk.path + "\n";
  for (const hypervisor::CdromDevice& cdrom : spec.cdroms) text += cdrom.path + "\n";
  for (const hypervisor::NicDevice& nic : spec.nics) {
    text += nic.id + " " + nic.mac + " " + nic.bridge + " " + nic.tap_name + "\n";
  }
  return text + spec.console_log_path + "\n" + spec.metadata;
}

class RescueTest : public ::testing::Test {
 protected:
  explicit RescueTest(const std::function<void(Config&)>& configure =
                          [](Config& config) { config.rescue.image_id = kRescue; })
      : agent_(configure) {
    agent_.ImportBase();
    // Other hardware than the instance's own.
    v1::GuestProperties properties;
    properties.set_firmware(v1::FIRMWARE_UEFI);
    properties.set_machine_family(v1::MACHINE_FAMILY_PC);
    agent_.ImportBase(kRescue, properties);
  }

  void MakeBig(bool start = true) {
    v1::CreateInstanceRequest request = agent_.BigCreateRequest(kId);
    request.mutable_spec()->mutable_login()->set_password_hash(kOwnHash);
    request.mutable_spec()->set_user_data("#!/bin/sh\necho own\n");
    if (!start) request.set_start(v1::CreateInstanceRequest::START_NO);
    ASSERT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
              Operation::SUCCESS);
    agent_.Settle();
  }

  static v1::EnterRescueRequest Request(bool force = true) {
    v1::EnterRescueRequest request;
    request.set_instance_id(kId);
    request.mutable_login()->set_password_hash(kHash);
    request.set_force_stop(force);
    return request;
  }
  Operation Enter(const v1::EnterRescueRequest& request = Request()) {
    const Operation operation = agent_.Run(agent_.instances().EnterRescue(agent_.caller, request));
    agent_.Settle();
    return operation;
  }
  ErrorReason Refusal(const v1::EnterRescueRequest& request) {
    return ReasonOf(agent_.instances().EnterRescue(agent_.caller, request).status());
  }
  Operation Exit() {
    v1::ExitRescueRequest request;
    request.set_instance_id(kId);
    const Operation operation = agent_.Run(agent_.instances().ExitRescue(agent_.caller, request));
    agent_.Settle();
    return operation;
  }
  hypervisor::DomainSpec Domain() { return *agent_.host->FindSpec(agent_.UuidOf(kId)); }
  std::string Drive() {
    const auto bytes = ReadFile(agent_.paths().RescueConfigDrive(kId), 1 << 20);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.ok() ? *bytes : "";
  }

  AgentHarness agent_;
};

TEST_F(RescueTest, BootsADiskOfTheRescueImageWithTheOwnDisksAfterIt) {
  MakeBig();
  const v1::InstanceSpec spec = agent_.Find(kId)->spec();
  const hypervisor::DomainSpec own = Domain();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);

  const v1::Rescue rescue = agent_.Find(kId)->rescue();
  EXPECT_EQ(agent_.StateOf(kId), v1::RESCUE);
  EXPECT_EQ(agent_.Find(kId)->observed_power().state(), ObservedPower::RUNNING);
  EXPECT_EQ(agent_.Find(kId)->spec().SerializeAsString(), spec.SerializeAsString());
  EXPECT_TRUE(rescue.was_on());
  EXPECT_EQ(rescue.former_wanted_power(), v1::WANTED_POWER_ON);
  const hypervisor::DomainSpec domain = Domain();
  ASSERT_EQ(domain.disks.size(), 4u);
  EXPECT_EQ(domain.disks[0].id, rescue.disk().id());
  EXPECT_EQ(domain.disks[1].id, spec.system_disk().id());
  EXPECT_EQ(domain.disks[2].id, spec.data_disks(0).id());
  EXPECT_EQ(domain.disks[3].id, spec.data_disks(1).id());
  // The rescue system's hardware, the instance's networks.
  EXPECT_EQ(domain.firmware, hypervisor::Firmware::kUefi);
  EXPECT_EQ(domain.nvram_path, agent_.paths().RescueNvram(kId));
  EXPECT_THAT(domain.machine_type, HasSubstr("i440fx"));
  ASSERT_EQ(domain.nics.size(), 2u);
  EXPECT_EQ(domain.nics[0].mac, own.nics[0].mac);
  EXPECT_EQ(domain.uuid, own.uuid);
  // A drive of its own: root's temporary password, another instance id, nothing of the guest's.
  EXPECT_EQ(domain.cdroms[0].path, agent_.paths().RescueConfigDrive(kId));
  EXPECT_THAT(Drive(), HasSubstr("ins-00000001-rescue"));
  EXPECT_THAT(Drive(), HasSubstr(kHash));
  EXPECT_THAT(Drive(), HasSubstr("root"));
  EXPECT_THAT(Drive(), HasSubstr(spec.nics(0).ipv4_address()));
  EXPECT_THAT(Drive(), Not(HasSubstr(kOwnHash)));
  EXPECT_THAT(Drive(), Not(HasSubstr("echo own")));
  agent_.ExpectNothingLeftOver();
  EXPECT_EQ(agent_.images().Get(kRescue)->instance_count(), 1u);
}

TEST_F(RescueTest, GoesBackToExactlyWhatItWas) {
  for (const bool on : {true, false}) {
    SCOPED_TRACE(on);
    MakeBig(on);
    const std::string before = Text(Domain());
    const std::string spec = agent_.Find(kId)->spec().SerializeAsString();
    const int boots = agent_.host->Boots(agent_.UuidOf(kId));
    ASSERT_EQ(Enter(Request(on)).state(), Operation::SUCCESS);
    EXPECT_EQ(agent_.Find(kId)->observed_power().state(), ObservedPower::RUNNING);
    EXPECT_NE(Text(Domain()), before);
    agent_.Restart();
    EXPECT_EQ(agent_.StateOf(kId), v1::RESCUE);
    ASSERT_EQ(Exit().state(), Operation::SUCCESS);

    EXPECT_EQ(Text(Domain()), before);
    EXPECT_EQ(agent_.Find(kId)->spec().SerializeAsString(), spec);
    EXPECT_FALSE(agent_.Find(kId)->has_rescue());
    EXPECT_EQ(agent_.StateOf(kId), on ? v1::RUNNING : v1::STOPPED);
    EXPECT_EQ(agent_.Find(kId)->wanted_power(), on ? v1::WANTED_POWER_ON : v1::WANTED_POWER_OFF);
    EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), boots + (on ? 2 : 1));
    EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, kOwnHash);
    agent_.ExpectNothingLeftOver();
    v1::DeleteInstanceRequest request;
    request.set_instance_id(kId);
    agent_.Run(agent_.instances().Delete(agent_.caller, request));
  }
}

TEST_F(RescueTest, StopsARunningGuestOnlyWhenTold) {
  MakeBig();
  EXPECT_EQ(Refusal(Request(false)), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
}

TEST_F(RescueTest, AGuestThatTurnsItselfOffStaysInRescue) {
  MakeBig();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf(kId)).ok());
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf(kId), v1::RESCUE);
  EXPECT_EQ(agent_.Find(kId)->observed_power().state(), ObservedPower::STOPPED);
  v1::StartInstanceRequest start;
  start.set_instance_id(kId);
  EXPECT_EQ(ReasonOf(agent_.instances().Start(agent_.caller, start).status()),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  ASSERT_EQ(Exit().state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
}

TEST_F(RescueTest, AnUpdateInRescueReachesBothDefinitions) {
  MakeBig();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  v1::UpdateInstanceRequest update;
  update.set_instance_id(kId);
  update.mutable_spec()->set_name("renamed");
  update.mutable_update_mask()->add_paths("spec.name");
  EXPECT_EQ(agent_.Run(agent_.instances().Update(agent_.caller, update)).state(),
            Operation::SUCCESS);
  EXPECT_EQ(Domain().title, "renamed");
  EXPECT_EQ(Domain().disks[0].id, agent_.Find(kId)->rescue().disk().id());
  EXPECT_EQ(agent_.StateOf(kId), v1::RESCUE);
  ASSERT_EQ(Exit().state(), Operation::SUCCESS);
  EXPECT_EQ(Domain().title, "renamed");
  EXPECT_EQ(Domain().disks[0].id, agent_.Find(kId)->spec().system_disk().id());
}

TEST_F(RescueTest, ADeletionTakesTheRescueSystemWithIt) {
  MakeBig();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  v1::DeleteInstanceRequest request;
  request.set_instance_id(kId);
  EXPECT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, request)).state(),
            Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
  EXPECT_EQ(agent_.images().Get(kRescue)->instance_count(), 0u);
}

TEST_F(RescueTest, ARecycledInstanceIsRestoredIntoItsRescue) {
  MakeBig();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  v1::DeleteInstanceRequest request;
  request.set_instance_id(kId);
  *request.mutable_recycle_period() = ToProtoDuration(absl::Hours(1));
  agent_.Run(agent_.instances().Delete(agent_.caller, request));
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  v1::RestoreInstanceRequest restore;
  restore.set_instance_id(kId);
  agent_.Run(agent_.instances().Restore(agent_.caller, restore));
  EXPECT_EQ(agent_.StateOf(kId), v1::RESCUE);
  ASSERT_EQ(Exit().state(), Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
}

TEST_F(RescueTest, TheRescueImageIsInUse) {
  MakeBig();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  v1::DeleteImageRequest request;
  request.set_image_id(kRescue);
  EXPECT_EQ(ReasonOf(agent_.images().Delete(agent_.caller, request).status()),
            ErrorReason::ERROR_REASON_IMAGE_IN_USE);
  ASSERT_EQ(Exit().state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Run(agent_.images().Delete(agent_.caller, request)).state(), Operation::SUCCESS);
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND);
}

TEST_F(RescueTest, LeavesOutTheLastOfTwentyDataDisks) {
  v1::CreateInstanceRequest request = agent_.CreateRequest(kId);
  for (int i = 0; i < 20; ++i) request.mutable_spec()->add_data_disks()->set_size_bytes(1 << 20);
  agent_.Run(agent_.instances().Create(agent_.caller, request));
  const std::string before = Text(Domain());
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  EXPECT_EQ(Domain().disks.size(), 21u);
  ASSERT_EQ(Exit().state(), Operation::SUCCESS);
  EXPECT_EQ(Text(Domain()), before);
}

TEST_F(RescueTest, RefusesBadInput) {
  MakeBig(false);
  v1::EnterRescueRequest request = Request();
  request.clear_login();
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_MISSING_FIELD);
  request.mutable_login()->set_password_hash("in clear");
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INVALID_PASSWORD_HASH);
  agent_.disk_space.free_bytes = 0;
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_INSUFFICIENT_DISK);
  agent_.disk_space.free_bytes = uint64_t{90} << 30;
  v1::ExitRescueRequest exit;
  exit.set_instance_id(kId);
  EXPECT_EQ(ReasonOf(agent_.instances().ExitRescue(agent_.caller, exit).status()),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  agent_.config.rescue = {};
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_RESCUE_NOT_CONFIGURED);
}

TEST_F(RescueTest, ADryRunDoesNothing) {
  MakeBig();
  const std::string before = agent_.Find(kId)->SerializeAsString();
  v1::EnterRescueRequest request = Request();
  request.set_validate_only(true);
  ASSERT_TRUE(agent_.instances().EnterRescue(agent_.caller, request).ok());
  EXPECT_EQ(agent_.Find(kId)->SerializeAsString(), before);
}

TEST_F(RescueTest, KeepsThePasswordOutOfItsRecord) {
  MakeBig();
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  const auto submitted = agent_.instances().EnterRescue(agent_.caller, Request());
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  const auto records = agent_.store().LoadUnfinishedOperations();
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 1u);
  EXPECT_THAT(records->front().SerializeAsString(), Not(HasSubstr("$6$")));
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(RescueTest, AnEntryThatFailsReturnsTheFormerGuest) {
  for (const FakeMethod method :
       {FakeMethod::kDefineDomain, FakeMethod::kStartDomain, FakeMethod::kGetDomain}) {
    if (agent_.Find(kId) == nullptr) MakeBig();
    const std::string before = Text(Domain());
    agent_.host->FailNext(method, Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
    EXPECT_EQ(ReasonOf(Enter()), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
    EXPECT_EQ(Text(Domain()), before);
    EXPECT_FALSE(agent_.Find(kId)->has_rescue());
    EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
    EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
    agent_.ExpectNothingLeftOver();
  }
}

TEST_F(RescueTest, AnExitThatFailsStaysInRescue) {
  MakeBig();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  const std::string rescue = Text(Domain());
  for (const FakeMethod method : {FakeMethod::kDefineDomain, FakeMethod::kStartDomain}) {
    agent_.host->FailNext(method, Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
    EXPECT_EQ(ReasonOf(Exit()), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
    EXPECT_EQ(Text(Domain()), rescue);
    EXPECT_EQ(agent_.StateOf(kId), v1::RESCUE);
    EXPECT_EQ(agent_.Find(kId)->observed_power().state(), ObservedPower::RUNNING);
    agent_.ExpectNothingLeftOver();
  }
  EXPECT_EQ(Exit().state(), Operation::SUCCESS);
}

class RescueIsoTest : public RescueTest {
 protected:
  RescueIsoTest() : RescueTest([](Config& config) { config.rescue.iso = kIso; }) {
    EXPECT_TRUE(MakeFolders(agent_.config.import_dir + "/isos", 0700).ok());
    PutIso("the bytes of an ISO");
  }
  void PutIso(const std::string& content) {
    EXPECT_TRUE(WriteFileAtomically(Source(), content, 0600).ok());
  }
  std::string Source() const { return agent_.config.import_dir + "/" + kIso; }
};

TEST_F(RescueIsoTest, BootsACopyOfTheIsoBeforeTheOwnDisks) {
  MakeBig();
  const std::string before = Text(Domain());
  const hypervisor::DomainSpec own = Domain();
  ASSERT_EQ(Enter().state(), Operation::SUCCESS);
  const hypervisor::DomainSpec domain = Domain();
  EXPECT_TRUE(domain.boots_rescue_medium);
  EXPECT_EQ(domain.cdroms[2].path, agent_.paths().RescueIso(kId));
  EXPECT_EQ(domain.disks.size(), own.disks.size());
  EXPECT_EQ(domain.disks[0].id, own.disks[0].id);
  EXPECT_EQ(domain.machine_type, own.machine_type);
  // What becomes of the source is nothing to the guest.
  PutIso("other bytes");
  EXPECT_EQ(*ReadFile(agent_.paths().RescueIso(kId), 1 << 20), "the bytes of an ISO");
  agent_.ExpectNothingLeftOver();
  ASSERT_EQ(Exit().state(), Operation::SUCCESS);
  EXPECT_EQ(Text(Domain()), before);
  agent_.ExpectNothingLeftOver();
}

TEST_F(RescueIsoTest, NeedsNoLogin) {
  MakeBig();
  v1::EnterRescueRequest request = Request();
  request.clear_login();
  EXPECT_EQ(Enter(request).state(), Operation::SUCCESS);
}

TEST_F(RescueIsoTest, TakesOnlyARegularFileBeneathTheImportFolder) {
  MakeBig();
  ASSERT_TRUE(RemoveFile(Source()).ok());
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_SOURCE_NOT_FOUND);
  ASSERT_EQ(symlink("/etc/passwd", Source().c_str()), 0);
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_SOURCE_NOT_FOUND);
  ASSERT_TRUE(RemoveFile(Source()).ok());
  PutIso("x");
  // It vanishes after the check: the former guest comes back.
  agent_.host->SetHook([&](const hypervisor::FakeCall& call) {
    if (call.method == FakeMethod::kDestroyDomain && !call.done) {
      EXPECT_TRUE(RemoveFile(Source()).ok());
    }
    return absl::OkStatus();
  });
  EXPECT_EQ(ReasonOf(Enter()), ErrorReason::ERROR_REASON_SOURCE_NOT_FOUND);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  agent_.ExpectNothingLeftOver();
}

TEST_F(RescueIsoTest, NeedsSpaceForTheCopy) {
  MakeBig();
  agent_.disk_space.free_bytes =
      (static_cast<uint64_t>(agent_.config.limits.disk_reserve_mib) << 20) + 10;
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_INSUFFICIENT_DISK);
}

}  // namespace
}  // namespace cvm::agent::core
