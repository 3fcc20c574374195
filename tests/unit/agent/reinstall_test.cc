// SPDX-License-Identifier: Apache-2.0
//
// ReinstallInstance: what the new guest is, and that whatever fails leaves the old one.
#include "common/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using hypervisor::PowerState;
using ::testing::HasSubstr;
using ::testing::Not;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
constexpr char kOther[] = "img-other000";
constexpr uint64_t kGib = uint64_t{1} << 30;
constexpr char kOldKey[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl old";
constexpr char kNewKey[] =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl new";
constexpr char kOldHash[] =
    "$6$oldoldol$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
constexpr char kNewHash[] =
    "$6$newnewne$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

class ReinstallTest : public ::testing::Test {
 protected:
  ReinstallTest() { agent_.ImportBase(); }

  // Two data disks, two NICs, a key, a password and user data.
  void MakeBig(bool start = true) {
    v1::CreateInstanceRequest request = agent_.BigCreateRequest(kId);
    request.mutable_spec()->mutable_login()->add_ssh_public_keys(kOldKey);
    request.mutable_spec()->mutable_login()->set_password_hash(kOldHash);
    request.mutable_spec()->set_user_data("#!/bin/sh\necho first boot\n");
    if (!start) request.set_start(v1::CreateInstanceRequest::START_NO);
    ASSERT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
              Operation::SUCCESS);
    agent_.Settle();
  }

  static v1::ReinstallInstanceRequest Request(const std::string& image = "", bool force = false) {
    v1::ReinstallInstanceRequest request;
    request.set_instance_id(kId);
    request.set_image_id(image);
    request.set_force_stop(force);
    return request;
  }
  Operation Reinstall(const v1::ReinstallInstanceRequest& request) {
    return agent_.Run(agent_.instances().Reinstall(agent_.caller, request));
  }
  absl::Status Refused(const v1::ReinstallInstanceRequest& request) {
    return agent_.instances().Reinstall(agent_.caller, request).status();
  }
  ErrorReason Refusal(const v1::ReinstallInstanceRequest& request) {
    return ReasonOf(Refused(request));
  }
  hypervisor::DomainSpec Domain() { return *agent_.host->FindSpec(agent_.UuidOf(kId)); }
  // What the guest reads at its next boot.
  std::string Drive() {
    const auto bytes = ReadFile(
        agent_.paths().ConfigDrive(kId, agent_.Find(kId)->config_drive_generation()), 1 << 20);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.ok() ? *bytes : "";
  }
  uint64_t DiskBytes(const std::string& id) {
    const auto info = agent_.core().disk_images.Inspect(agent_.paths().Volume(id));
    EXPECT_TRUE(info.ok()) << info.status();
    return info.ok() ? info->virtual_size_bytes : 0;
  }
  static v1::GuestProperties WindowsProperties() {
    v1::GuestProperties properties;
    properties.set_os_family(v1::OS_FAMILY_WINDOWS);
    properties.set_firmware(v1::FIRMWARE_UEFI);
    properties.set_machine_family(v1::MACHINE_FAMILY_PC);
    properties.set_cdrom_bus(v1::CDROM_BUS_IDE);
    return properties;
  }

  AgentHarness agent_;
};

TEST_F(ReinstallTest, MakesTheSystemDiskAnewAndLeavesTheRest) {
  MakeBig();
  agent_.ImportBase(kOther);
  const v1::Instance before = *agent_.Find(kId);
  v1::ReinstallInstanceRequest request = Request(kOther, true);
  request.set_system_disk_size_bytes(2 * kGib);
  const Operation operation = Reinstall(request);
  ASSERT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  agent_.Settle();

  const v1::Instance after = *agent_.Find(kId);
  EXPECT_EQ(after.spec().image_id(), kOther);
  EXPECT_NE(after.spec().system_disk().id(), before.spec().system_disk().id());
  EXPECT_EQ(after.spec().system_disk().size_bytes(), 2 * kGib);
  EXPECT_EQ(DiskBytes(after.spec().system_disk().id()), 2 * kGib);
  EXPECT_EQ(after.uuid(), before.uuid());
  EXPECT_EQ(after.spec().machine_type(), before.spec().machine_type());
  EXPECT_NE(after.etag(), before.etag());
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(after.spec().data_disks(i).id(), before.spec().data_disks(i).id());
    EXPECT_EQ(after.spec().nics(i).SerializeAsString(), before.spec().nics(i).SerializeAsString());
  }
  EXPECT_EQ(after.install_generation(), 1u);
  EXPECT_EQ(after.config_drive_generation(), 2u);
  EXPECT_EQ(Domain().disks[0].id, after.spec().system_disk().id());
  EXPECT_EQ(Domain().cdroms[0].path, agent_.paths().ConfigDrive(kId, 2));
  EXPECT_EQ(after.state(), v1::RUNNING);
  EXPECT_EQ(agent_.host->Boots(after.uuid()), 2);
  // cloud-init takes it for a new instance, and is told what is kept for a first boot.
  EXPECT_THAT(Drive(), HasSubstr("\"uuid\": \"ins-00000001-1\""));
  EXPECT_THAT(Drive(), HasSubstr("echo first boot"));
  EXPECT_THAT(Drive(), HasSubstr(kOldHash));
  EXPECT_THAT(Drive(), HasSubstr(kOldKey));
  // Neither old disk nor old drive.
  agent_.ExpectNothingLeftOver();
  EXPECT_EQ(agent_.images().Get("img-base0000")->instance_count(), 0u);
  EXPECT_EQ(agent_.images().Get(kOther)->instance_count(), 1u);
}

TEST_F(ReinstallTest, LeavesAGuestThatWasOffOffAndTakesThePresentImage) {
  MakeBig(false);
  ASSERT_EQ(Reinstall(Request()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);
  EXPECT_EQ(agent_.Find(kId)->spec().image_id(), "img-base0000");
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 0);
  ASSERT_EQ(Reinstall(Request()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->install_generation(), 2u);
  EXPECT_THAT(Drive(), HasSubstr("ins-00000001-2"));
  agent_.ExpectNothingLeftOver();
}

TEST_F(ReinstallTest, StopsARunningGuestOnlyWhenTold) {
  MakeBig();
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 1);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
}

TEST_F(ReinstallTest, ReplacesTheLoginAsAWhole) {
  MakeBig();
  v1::ReinstallInstanceRequest request = Request("", true);
  request.mutable_login()->add_ssh_public_keys(kNewKey);
  ASSERT_EQ(Reinstall(request).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->spec().login().ssh_public_keys(0), kNewKey);
  EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, "");
  EXPECT_THAT(Drive(), HasSubstr(kNewKey));
  EXPECT_THAT(Drive(), Not(HasSubstr(kOldHash)));

  request = Request("", true);
  request.mutable_login()->set_password_hash(kNewHash);
  ASSERT_EQ(Reinstall(request).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->spec().login().ssh_public_keys_size(), 0);
  EXPECT_EQ(agent_.Find(kId)->spec().login().password_hash(), "");
  EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, kNewHash);
  EXPECT_THAT(Drive(), HasSubstr(kNewHash));
  // The user data is for every first boot.
  EXPECT_THAT(Drive(), HasSubstr("echo first boot"));

  request = Request("", true);
  request.set_keep_image_login(true);
  ASSERT_EQ(Reinstall(request).state(), Operation::SUCCESS);
  EXPECT_FALSE(agent_.Find(kId)->spec().has_login());
  EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, "");
  EXPECT_THAT(Drive(), Not(HasSubstr("$6$")));
}

TEST_F(ReinstallTest, UsesTheUserDataThatAnUpdateLeft) {
  MakeBig();
  v1::UpdateInstanceRequest update;
  update.set_instance_id(kId);
  update.mutable_spec()->set_user_data("#!/bin/sh\necho second\n");
  update.mutable_update_mask()->add_paths("spec.user_data");
  agent_.Run(agent_.instances().Update(agent_.caller, update));
  ASSERT_EQ(Reinstall(Request("", true)).state(), Operation::SUCCESS);
  EXPECT_THAT(Drive(), HasSubstr("echo second"));
}

TEST_F(ReinstallTest, KeepsThePasswordOutOfItsRecord) {
  MakeBig();
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  v1::ReinstallInstanceRequest request = Request("", true);
  request.mutable_login()->set_password_hash(kNewHash);
  const auto submitted = agent_.instances().Reinstall(agent_.caller, request);
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  const auto records = agent_.store().LoadUnfinishedOperations();
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 1u);
  EXPECT_THAT(records->front().SerializeAsString(), Not(HasSubstr("$6$")));
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(ReinstallTest, FromLinuxToWindowsAndBack) {
  agent_.ImportBase(kOther, WindowsProperties());
  v1::CreateInstanceRequest create = agent_.CreateRequest(kId);
  create.mutable_spec()->set_host_name("host-1");
  agent_.Run(agent_.instances().Create(agent_.caller, create));
  const std::string machine = agent_.Find(kId)->spec().machine_type();
  EXPECT_THAT(machine, HasSubstr("q35"));

  ASSERT_EQ(Reinstall(Request(kOther, true)).state(), Operation::SUCCESS);
  hypervisor::DomainSpec domain = Domain();
  EXPECT_EQ(domain.os_family, hypervisor::OsFamily::kWindows);
  EXPECT_EQ(domain.firmware, hypervisor::Firmware::kUefi);
  EXPECT_EQ(domain.nvram_path, agent_.paths().Nvram(kId, 1));
  EXPECT_EQ(domain.cdrom_bus, hypervisor::CdromBus::kIde);
  EXPECT_THAT(domain.machine_type, HasSubstr("i440fx"));
  EXPECT_EQ(agent_.Find(kId)->spec().properties().default_user(), "Administrator");

  // The variables of the Windows guest, as its firmware would have written them.
  ASSERT_TRUE(WriteFileAtomically(domain.nvram_path, "variables", 0600).ok());
  ASSERT_EQ(Reinstall(Request("img-base0000", true)).state(), Operation::SUCCESS);
  domain = Domain();
  EXPECT_EQ(domain.os_family, hypervisor::OsFamily::kLinux);
  EXPECT_EQ(domain.firmware, hypervisor::Firmware::kBios);
  EXPECT_EQ(domain.nvram_path, "");
  EXPECT_EQ(domain.cdrom_bus, hypervisor::CdromBus::kScsi);
  EXPECT_EQ(domain.machine_type, machine);
  EXPECT_EQ(agent_.Find(kId)->spec().properties().default_user(), "root");
  agent_.ExpectNothingLeftOver();
}

TEST_F(ReinstallTest, KeepsTheHardwareThatWasAskedForWithTheSameImage) {
  v1::CreateInstanceRequest create = agent_.CreateRequest(kId);
  create.mutable_spec()->mutable_properties()->set_machine_family(v1::MACHINE_FAMILY_PC);
  agent_.Run(agent_.instances().Create(agent_.caller, create));
  ASSERT_EQ(Reinstall(Request("", true)).state(), Operation::SUCCESS);
  EXPECT_EQ(Domain().machine_family, hypervisor::MachineFamily::kPc);
}

TEST_F(ReinstallTest, ChecksTheHostNameByTheNewSystemsRules) {
  agent_.ImportBase(kOther, WindowsProperties());
  v1::CreateInstanceRequest create = agent_.CreateRequest(kId);
  create.mutable_spec()->set_host_name("a-name-of-more-than-15-characters");
  agent_.Run(agent_.instances().Create(agent_.caller, create));
  EXPECT_EQ(Refusal(Request(kOther, true)), ErrorReason::ERROR_REASON_INVALID_HOST_NAME);
  EXPECT_EQ(Reinstall(Request("", true)).state(), Operation::SUCCESS);
}

TEST_F(ReinstallTest, GrowsOnly) {
  agent_.MakeInstance(kId, false);  // 1 GiB
  v1::ReinstallInstanceRequest request = Request();
  request.set_system_disk_size_bytes(kGib - (1 << 20));
  const absl::Status refused = Refused(request);
  EXPECT_EQ(ReasonOf(refused), ErrorReason::ERROR_REASON_DISK_TOO_SMALL);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the present disk has 1073741824"));
  request.set_system_disk_size_bytes(kGib + 1);
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INVALID_FIELD);

  // 0 is the largest of the present disk, the image and the configured minimum.
  agent_.config.limits.reinstall_min_disk_gib = 3;
  request.set_system_disk_size_bytes(2 * kGib);
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_DISK_TOO_SMALL);
  ASSERT_EQ(Reinstall(Request()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->spec().system_disk().size_bytes(), 3 * kGib);
  agent_.config.limits.reinstall_min_disk_gib = 0;
  ASSERT_EQ(Reinstall(Request()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->spec().system_disk().size_bytes(), 3 * kGib);
}

TEST_F(ReinstallTest, ChecksTheDiskForTheGrowthAndForBothDisks) {
  agent_.MakeInstance(kId, false);
  v1::ReinstallInstanceRequest request = Request();
  request.set_system_disk_size_bytes(uint64_t{1} << 40);
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INSUFFICIENT_DISK);
  // Nothing more is promised; but the moment in which both disks exist needs free space.
  agent_.disk_space.free_bytes = uint64_t{1} << 30;
  EXPECT_EQ(Refusal(Request()), ErrorReason::ERROR_REASON_INSUFFICIENT_DISK);
  agent_.disk_space.free_bytes = uint64_t{90} << 30;
  // A host that has promised all it has still reinstalls in place.
  agent_.disk_space.total_bytes = uint64_t{3} << 30;
  EXPECT_EQ(Reinstall(Request()).state(), Operation::SUCCESS);
}

TEST_F(ReinstallTest, TheGrowthIsPromisedFromTheSubmissionOn) {
  agent_.MakeInstance(kId, false);
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  v1::ReinstallInstanceRequest request = Request();
  request.set_system_disk_size_bytes(60 * kGib);
  const auto submitted = agent_.instances().Reinstall(agent_.caller, request);
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  v1::CreateInstanceRequest create = agent_.CreateRequest("ins-00000002");
  create.set_validate_only(true);
  create.mutable_spec()->mutable_system_disk()->set_size_bytes(60 * kGib);
  EXPECT_EQ(ReasonOf(agent_.instances().Create(agent_.caller, create).status()),
            ErrorReason::ERROR_REASON_INSUFFICIENT_DISK);
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(ReinstallTest, BothImagesAreInUseWhileBothDisksExist) {
  agent_.MakeInstance(kId, false);
  agent_.ImportBase(kOther);
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  const auto submitted = agent_.instances().Reinstall(agent_.caller, Request(kOther));
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  for (const char* image : {"img-base0000", kOther}) {
    v1::DeleteImageRequest request;
    request.set_image_id(image);
    EXPECT_EQ(ReasonOf(agent_.images().Delete(agent_.caller, request).status()),
              ErrorReason::ERROR_REASON_IMAGE_IN_USE);
    EXPECT_EQ(agent_.images().Get(image)->instance_count(), 1u);
  }
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
  v1::DeleteImageRequest request;
  request.set_image_id("img-base0000");
  EXPECT_EQ(agent_.Run(agent_.images().Delete(agent_.caller, request)).state(), Operation::SUCCESS);
}

TEST_F(ReinstallTest, RefusesBadInput) {
  agent_.MakeInstance(kId, false);
  EXPECT_EQ(Refusal(Request("img-none0000")), ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND);
  EXPECT_EQ(Refusal(Request("image")), ErrorReason::ERROR_REASON_MALFORMED_ID);
  LedgerChange change;
  v1::Image importing;
  importing.set_id("img-half0000");
  importing.set_state(v1::Image::IMPORTING);
  change.put_images.push_back(importing);
  ASSERT_TRUE(agent_.ledger().Commit(change).ok());
  EXPECT_EQ(Refusal(Request("img-half0000")), ErrorReason::ERROR_REASON_IMAGE_NOT_READY);
  v1::ReinstallInstanceRequest request = Request();
  request.set_keep_image_login(true);
  request.mutable_login()->set_password_hash(kNewHash);
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_FIELDS_CONFLICT);
  request = Request();
  request.mutable_login()->set_password_hash("in clear");
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INVALID_PASSWORD_HASH);
  request = Request();
  request.mutable_login()->add_ssh_public_keys("no key");
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INVALID_SSH_KEY);
  request = Request();
  request.set_instance_id("ins-none0000");
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INSTANCE_NOT_FOUND);
}

// Each way in which it can fail, and the old guest afterwards.
class FailingReinstallTest : public ReinstallTest, public ::testing::WithParamInterface<bool> {
 protected:
  void ExpectTheOldGuest(const std::function<void()>& spoil) {
    MakeBig(GetParam());
    agent_.ImportBase(kOther, WindowsProperties());
    const v1::Instance before = *agent_.Find(kId);
    const hypervisor::DomainSpec domain = Domain();
    const std::string drive = Drive();
    spoil();
    v1::ReinstallInstanceRequest request = Request(kOther, true);
    request.mutable_login()->set_password_hash(kNewHash);
    const Operation operation = Reinstall(request);
    EXPECT_EQ(operation.state(), Operation::FAILED);
    agent_.Settle();

    const v1::Instance after = *agent_.Find(kId);
    EXPECT_EQ(after.spec().SerializeAsString(), before.spec().SerializeAsString());
    EXPECT_EQ(after.etag(), before.etag());
    EXPECT_EQ(after.install_generation(), 0u);
    EXPECT_EQ(after.config_drive_generation(), 1u);
    EXPECT_EQ(after.state(), before.state());
    EXPECT_EQ(after.wanted_power(), before.wanted_power());
    EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, kOldHash);
    EXPECT_EQ(Domain().metadata, domain.metadata);
    EXPECT_EQ(Domain().machine_type, domain.machine_type);
    EXPECT_EQ(Domain().disks[0].path, domain.disks[0].path);
    EXPECT_EQ(Domain().cdroms[0].path, domain.cdroms[0].path);
    EXPECT_EQ(Drive(), drive);
    agent_.ExpectNothingLeftOver();
  }
};

TEST_P(FailingReinstallTest, OfTheDefinition) {
  ExpectTheOldGuest([&] {
    agent_.host->FailNext(FakeMethod::kDefineDomain,
                          Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  });
}

TEST_P(FailingReinstallTest, OfTheDisk) {
  ExpectTheOldGuest(
      [&] { ASSERT_TRUE(WriteFileAtomically(agent_.paths().Image(kOther), "spoilt", 0600).ok()); });
  ASSERT_TRUE(RemoveFile(agent_.paths().Image(kOther)).ok());
}

TEST_P(FailingReinstallTest, OfALookAtTheHost) {
  ExpectTheOldGuest([&] {
    agent_.host->FailNext(FakeMethod::kGetDomain,
                          Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  });
}

INSTANTIATE_TEST_SUITE_P(OnAndOff, FailingReinstallTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "On" : "Off"; });

TEST_F(ReinstallTest, AStartThatFailsBringsTheOldGuestBack) {
  MakeBig();
  const v1::Instance before = *agent_.Find(kId);
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  EXPECT_EQ(ReasonOf(Reinstall(Request("", true))), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  agent_.Settle();
  EXPECT_EQ(agent_.Find(kId)->spec().SerializeAsString(), before.spec().SerializeAsString());
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  EXPECT_EQ(Domain().disks[0].id, before.spec().system_disk().id());
  agent_.ExpectNothingLeftOver();
}

TEST_F(ReinstallTest, LeavesAGuestThatSomebodyElseStartedMeanwhile) {
  agent_.MakeInstance(kId, false);
  const std::string disk = agent_.Find(kId)->spec().system_disk().id();
  agent_.host->SetHook([&](const hypervisor::FakeCall& call) {
    // virsh start, just before the agent looks.
    if (call.method == FakeMethod::kGetDomain && !call.done) {
      agent_.host->SetHook(nullptr);
      EXPECT_TRUE(agent_.core().hypervisor.StartDomain(agent_.UuidOf(kId)).ok());
    }
    return absl::OkStatus();
  });
  EXPECT_EQ(ReasonOf(Reinstall(Request())), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  agent_.Settle();
  EXPECT_EQ(agent_.Find(kId)->spec().system_disk().id(), disk);
  EXPECT_EQ(agent_.DomainStateOf(kId), PowerState::kRunning);
  agent_.ExpectNothingLeftOver();
}

TEST_F(ReinstallTest, ADryRunDoesNothing) {
  MakeBig();
  const std::string before = agent_.Find(kId)->SerializeAsString();
  v1::ReinstallInstanceRequest request = Request("", true);
  request.set_validate_only(true);
  ASSERT_TRUE(agent_.instances().Reinstall(agent_.caller, request).ok());
  EXPECT_EQ(agent_.Find(kId)->SerializeAsString(), before);
}

}  // namespace
}  // namespace cvm::agent::core
