// SPDX-License-Identifier: Apache-2.0
//
// Data disks that are kept of deleted instances, and used again.
#include <fstream>

#include "agent/core/host_capacity.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using ::testing::ElementsAre;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
constexpr char kKept[] = "disk-kept0000";
constexpr char kOther[] = "disk-other000";
constexpr uint64_t kSize = uint64_t{8} << 20;

class VolumeTest : public ::testing::Test {
 protected:
  VolumeTest() { agent_.ImportBase(); }

  v1::CreateInstanceRequest Request(const std::string& id) {
    v1::CreateInstanceRequest request = agent_.CreateRequest(id);
    request.set_owner("alice");
    return request;
  }
  void Make(const std::string& id = kId) {
    v1::CreateInstanceRequest request = Request(id);
    for (const char* disk : {kOther, kKept}) {
      request.mutable_spec()->add_data_disks()->set_id(disk);
      request.mutable_spec()->mutable_data_disks()->rbegin()->set_size_bytes(kSize);
    }
    ASSERT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
              Operation::SUCCESS);
    agent_.Settle();
    // What only this disk's file has.
    mark_ = Contents(kKept);
    mark_[mark_.size() - 1] = 'x';
    std::ofstream(agent_.paths().Volume(kKept), std::ios::binary) << mark_;
  }
  std::string Contents(const std::string& disk) {
    std::ifstream file(agent_.paths().Volume(disk), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  v1::DeleteInstanceRequest Deletion(const std::vector<std::string>& keep) {
    v1::DeleteInstanceRequest request;
    request.set_instance_id(kId);
    for (const std::string& disk : keep) request.add_keep_disk_ids(disk);
    return request;
  }
  Operation Delete(const v1::DeleteInstanceRequest& request) {
    return agent_.Run(agent_.instances().Delete(agent_.caller, request));
  }
  ErrorReason Refusal(const v1::DeleteInstanceRequest& request) {
    return ReasonOf(agent_.instances().Delete(agent_.caller, request).status());
  }
  void MakeVolume() {
    Make();
    ASSERT_EQ(Delete(Deletion({kKept})).state(), Operation::SUCCESS);
  }

  v1::CreateInstanceRequest WithVolume(uint64_t size = 0) {
    v1::CreateInstanceRequest request = Request("ins-00000002");
    v1::DiskSpec& disk = *request.mutable_spec()->add_data_disks();
    disk.set_id(kKept);
    disk.set_size_bytes(size);
    return request;
  }
  absl::StatusOr<Operation> Create(const v1::CreateInstanceRequest& request) {
    return agent_.instances().Create(agent_.caller, request);
  }
  absl::StatusOr<Operation> DeleteVolume(const std::string& etag = "") {
    v1::DeleteVolumeRequest request;
    request.set_volume_id(kKept);
    request.set_etag(etag);
    return agent_.volumes().Delete(agent_.caller, request);
  }

  AgentHarness agent_;
  std::string mark_;
};

TEST_F(VolumeTest, ADiskThatIsKeptBecomesAVolume) {
  Make();
  EXPECT_EQ(Delete(Deletion({kKept})).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId), nullptr);
  agent_.ExpectNothingLeftOver();
  EXPECT_EQ(Contents(kKept), mark_);
  const auto volume = agent_.volumes().Get(kKept);
  ASSERT_TRUE(volume.ok());
  EXPECT_EQ(volume->state(), v1::Volume::AVAILABLE);
  EXPECT_EQ(volume->size_bytes(), kSize);
  EXPECT_EQ(volume->owner(), "alice");
  EXPECT_EQ(volume->source_instance_id(), kId);
  EXPECT_EQ(FromTimestamp(volume->keep_time()), agent_.clock.Now());
  EXPECT_FALSE(volume->etag().empty());
  EXPECT_EQ(ReasonOf(agent_.volumes().Get(kOther).status()),
            ErrorReason::ERROR_REASON_VOLUME_NOT_FOUND);
  agent_.Restart();
  EXPECT_EQ(agent_.volumes().Get(kKept)->SerializeAsString(), volume->SerializeAsString());
}

TEST_F(VolumeTest, OnlyDataDisksOfTheInstanceAreKept) {
  Make();
  const std::string system = agent_.Find(kId)->spec().system_disk().id();
  EXPECT_EQ(Refusal(Deletion({system})), ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(Refusal(Deletion({"disk-absent00"})), ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(Refusal(Deletion({"kept"})), ErrorReason::ERROR_REASON_MALFORMED_ID);
  EXPECT_EQ(Refusal(Deletion({kKept, kKept})), ErrorReason::ERROR_REASON_DUPLICATE_ID);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
}

TEST_F(VolumeTest, ARecyclePeriodRemembersWhatIsToBeKept) {
  Make();
  v1::DeleteInstanceRequest request = Deletion({kKept});
  *request.mutable_recycle_period() = ToProtoDuration(absl::Hours(1));
  EXPECT_EQ(Delete(request).state(), Operation::SUCCESS);
  EXPECT_THAT(agent_.Find(kId)->recycle().keep_disk_ids(), ElementsAre(kKept));
  EXPECT_FALSE(agent_.volumes().Get(kKept).ok()) << "it is still the instance's";
  // As the recycle bin deletes it; what a second deletion keeps comes in addition.
  EXPECT_EQ(Delete(Deletion({kOther})).state(), Operation::SUCCESS);
  EXPECT_TRUE(agent_.volumes().Get(kKept).ok());
  EXPECT_TRUE(agent_.volumes().Get(kOther).ok());
  agent_.ExpectNothingLeftOver();
}

TEST_F(VolumeTest, ARestoredInstanceKeepsNothing) {
  Make();
  v1::DeleteInstanceRequest request = Deletion({kKept});
  *request.mutable_recycle_period() = ToProtoDuration(absl::Hours(1));
  Delete(request);
  v1::RestoreInstanceRequest restore;
  restore.set_instance_id(kId);
  agent_.Run(agent_.instances().Restore(agent_.caller, restore));
  EXPECT_EQ(Delete(Deletion({})).state(), Operation::SUCCESS);
  EXPECT_FALSE(agent_.volumes().Get(kKept).ok());
  agent_.ExpectNothingLeftOver();
}

TEST_F(VolumeTest, IsUsedAgainWithWhatIsOnIt) {
  MakeVolume();
  EXPECT_EQ(agent_.Run(Create(WithVolume())).state(), Operation::SUCCESS);
  EXPECT_FALSE(agent_.volumes().Get(kKept).ok());
  EXPECT_EQ(Contents(kKept), mark_);
  const v1::InstanceSpec spec = agent_.Find("ins-00000002")->spec();
  EXPECT_EQ(spec.data_disks(0).id(), kKept);
  EXPECT_EQ(spec.data_disks(0).size_bytes(), kSize);
  agent_.ExpectNothingLeftOver();
  // Now it lives and dies with its instance, and can be kept again.
  v1::DeleteInstanceRequest request = Deletion({kKept});
  request.set_instance_id("ins-00000002");
  EXPECT_EQ(Delete(request).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.volumes().Get(kKept)->source_instance_id(), "ins-00000002");
  EXPECT_EQ(agent_.Run(Create(WithVolume(kSize))).state(), Operation::SUCCESS) << "the same size";
}

TEST_F(VolumeTest, IsUsedAgainByAnInstanceThatIsNotStarted) {
  MakeVolume();
  v1::CreateInstanceRequest request = WithVolume();
  request.set_start(v1::CreateInstanceRequest::START_NO);
  EXPECT_EQ(agent_.Run(Create(request)).state(), Operation::SUCCESS);
  EXPECT_FALSE(agent_.volumes().Get(kKept).ok());
  agent_.ExpectNothingLeftOver();
}

TEST_F(VolumeTest, IsGivenBackWhenTheCreationFails) {
  MakeVolume();
  for (const FakeMethod method : {FakeMethod::kDefineDomain, FakeMethod::kStartDomain}) {
    agent_.host->FailNext(method, Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
    EXPECT_EQ(agent_.Run(Create(WithVolume())).state(), Operation::FAILED);
    const auto volume = agent_.volumes().Get(kKept);
    ASSERT_TRUE(volume.ok());
    EXPECT_EQ(volume->state(), v1::Volume::AVAILABLE);
    EXPECT_TRUE(volume->instance_id().empty());
    EXPECT_EQ(Contents(kKept), mark_);
    agent_.ExpectNothingLeftOver();
    // What the failed one names is not its own: its deletion leaves the volume alone.
    v1::DeleteInstanceRequest request;
    request.set_instance_id("ins-00000002");
    EXPECT_EQ(Delete(request).state(), Operation::SUCCESS);
    EXPECT_EQ(Contents(kKept), mark_);
    EXPECT_TRUE(agent_.volumes().Get(kKept).ok());
  }
  EXPECT_EQ(agent_.Run(Create(WithVolume())).state(), Operation::SUCCESS);
}

TEST_F(VolumeTest, AFailedRecordDoesNotTakeTheDiskOfTheNextOwner) {
  MakeVolume();
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  EXPECT_EQ(agent_.Run(Create(WithVolume())).state(), Operation::FAILED);
  v1::CreateInstanceRequest request = WithVolume();
  request.set_instance_id("ins-00000003");
  EXPECT_EQ(agent_.Run(Create(request)).state(), Operation::SUCCESS);
  v1::DeleteInstanceRequest failed = Deletion({kKept});
  failed.set_instance_id("ins-00000002");
  EXPECT_EQ(Refusal(failed), ErrorReason::ERROR_REASON_INVALID_FIELD);
  failed.clear_keep_disk_ids();
  EXPECT_EQ(Delete(failed).state(), Operation::SUCCESS);
  EXPECT_EQ(Contents(kKept), mark_);
  agent_.ExpectNothingLeftOver();
}

TEST_F(VolumeTest, IsRefusedInAnotherSizeAndAsASystemDisk) {
  MakeVolume();
  EXPECT_EQ(ReasonOf(Create(WithVolume(2 * kSize)).status()),
            ErrorReason::ERROR_REASON_INVALID_FIELD);
  v1::CreateInstanceRequest request = Request("ins-00000002");
  request.mutable_spec()->mutable_system_disk()->set_id(kKept);
  EXPECT_EQ(ReasonOf(Create(request).status()), ErrorReason::ERROR_REASON_DUPLICATE_ID);
  request = WithVolume();
  request.mutable_spec()->mutable_data_disks(0)->set_id("disk-absent00");
  EXPECT_EQ(ReasonOf(Create(request).status()), ErrorReason::ERROR_REASON_MISSING_FIELD);
  request = WithVolume();
  request.set_validate_only(true);
  EXPECT_TRUE(Create(request)->validate_only());
  EXPECT_EQ(agent_.volumes().Get(kKept)->state(), v1::Volume::AVAILABLE);
}

TEST_F(VolumeTest, IsInUseWhileAnInstanceIsCreatedWithIt) {
  MakeVolume();
  agent_.host->HangNext(FakeMethod::kStartDomain);
  const auto submitted = Create(WithVolume());
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kStartDomain));
  EXPECT_EQ(agent_.volumes().Get(kKept)->state(), v1::Volume::IN_USE);
  EXPECT_EQ(agent_.volumes().Get(kKept)->instance_id(), "ins-00000002");
  EXPECT_EQ(ReasonOf(DeleteVolume().status()), ErrorReason::ERROR_REASON_VOLUME_IN_USE);
  v1::CreateInstanceRequest other = WithVolume();
  other.set_instance_id("ins-00000003");
  EXPECT_EQ(ReasonOf(Create(other).status()), ErrorReason::ERROR_REASON_VOLUME_IN_USE);
  agent_.host->ReleaseHung(FakeMethod::kStartDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(VolumeTest, IsDeletedWithItsFile) {
  MakeVolume();
  EXPECT_EQ(ReasonOf(DeleteVolume("another").status()), ErrorReason::ERROR_REASON_ETAG_MISMATCH);
  const Operation operation = agent_.Run(DeleteVolume(agent_.volumes().Get(kKept)->etag()));
  EXPECT_EQ(operation.state(), Operation::SUCCESS);
  EXPECT_EQ(operation.target_id(), kKept);
  EXPECT_EQ(ReasonOf(DeleteVolume().status()), ErrorReason::ERROR_REASON_VOLUME_NOT_FOUND);
  EXPECT_EQ(agent_.Files().count("volumes/" + std::string(kKept) + ".qcow2"), 0u);
  agent_.ExpectNothingLeftOver();
  v1::DeleteVolumeRequest malformed;
  malformed.set_volume_id("kept");
  EXPECT_EQ(ReasonOf(agent_.volumes().Delete(agent_.caller, malformed).status()),
            ErrorReason::ERROR_REASON_MALFORMED_ID);
}

TEST_F(VolumeTest, IsListedInPagesAndByOwner) {
  Make();
  Delete(Deletion({kKept, kOther}));
  v1::ListVolumesRequest request;
  request.set_page_size(1);
  auto page = agent_.volumes().List(request);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->volumes_size(), 1);
  EXPECT_EQ(page->volumes(0).id(), kKept);
  request.set_page_token(page->next_page_token());
  page = agent_.volumes().List(request);
  ASSERT_EQ(page->volumes_size(), 1);
  EXPECT_EQ(page->volumes(0).id(), kOther);
  EXPECT_TRUE(page->next_page_token().empty());
  request = {};
  request.set_owner("bob");
  EXPECT_EQ(agent_.volumes().List(request)->volumes_size(), 0);
  request.set_page_token("nonsense!");
  EXPECT_EQ(ReasonOf(agent_.volumes().List(request).status()),
            ErrorReason::ERROR_REASON_INVALID_PAGE_TOKEN);
}

TEST_F(VolumeTest, CountsAgainstTheDiskOnce) {
  const auto allocated = [&] { return GetCapacity(agent_.core())->disk_allocated_bytes(); };
  MakeVolume();
  EXPECT_EQ(allocated(), kSize);
  const uint64_t system = uint64_t{1} << 30;
  // Just enough for the system disk: the volume has its place already.
  agent_.disk_space.total_bytes =
      system + kSize + (static_cast<uint64_t>(agent_.config.limits.disk_reserve_mib) << 20);
  agent_.host->HangNext(FakeMethod::kStartDomain);
  const auto submitted = Create(WithVolume());
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kStartDomain));
  EXPECT_EQ(allocated(), system + kSize);
  agent_.host->ReleaseHung(FakeMethod::kStartDomain, hypervisor::HungOutcome::kAnswered);
  agent_.WaitEnd(submitted->id());
  EXPECT_EQ(allocated(), system + kSize);
  EXPECT_EQ(GetCapacity(agent_.core())->disk_available_bytes(), 0u);
}

}  // namespace
}  // namespace cvm::agent::core
