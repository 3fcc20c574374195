// SPDX-License-Identifier: Apache-2.0
//
// cvmctl's commands for the host and its volumes.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/cli/fixture.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;
using ::testing::HasSubstr;

using CvmctlHostTest = CvmctlTest;

TEST_F(CvmctlHostTest, MaintenanceSendsStateAndReason) {
  std::vector<agent::v1::SetMaintenanceRequest> seen;
  script_.set_maintenance = [&](const agent::v1::SetMaintenanceRequest& request) {
    seen.push_back(request);
    return MakeOperation(Operation::SET_MAINTENANCE, "host", Operation::SUCCESS, 100);
  };
  EXPECT_EQ(Run({"host", "maintenance", "on", "--reason", "new disks"}).exit_code, 0);
  EXPECT_EQ(Run({"host", "maintenance", "off"}).exit_code, 0);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_TRUE(seen[0].on());
  EXPECT_EQ(seen[0].reason(), "new disks");
  EXPECT_FALSE(seen[1].on());
  EXPECT_EQ(Run({"host", "maintenance", "perhaps"}).exit_code, 2);
  EXPECT_EQ(Run({"host", "maintenance"}).exit_code, 2);
  EXPECT_EQ(seen.size(), 2u);
}

TEST_F(CvmctlHostTest, StopGuestsSendsTheBudgetOnlyWhenItIsGiven) {
  std::vector<agent::v1::StopGuestsRequest> seen;
  script_.stop_guests = [&](const agent::v1::StopGuestsRequest& request) {
    seen.push_back(request);
    return MakeOperation(Operation::STOP_GUESTS, "host", Operation::OPERATING);
  };
  EXPECT_EQ(Run({"host", "stop-guests"}).exit_code, 0);
  EXPECT_EQ(Run({"host", "stop-guests", "--budget", "3m"}).exit_code, 0);
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_FALSE(seen[0].has_budget());
  EXPECT_EQ(seen[1].budget().seconds(), 180);
  EXPECT_EQ(Run({"host", "stop-guests", "--budget", "long"}).exit_code, 2);
}

TEST_F(CvmctlHostTest, VolumesAreListedShownAndDeleted) {
  agent::v1::Volume volume;
  volume.set_id("disk-00000001");
  volume.set_state(agent::v1::Volume::AVAILABLE);
  script_.list_volumes = [&](const agent::v1::ListVolumesRequest& request) {
    EXPECT_EQ(request.owner(), "alice");
    agent::v1::ListVolumesResponse response;
    *response.add_volumes() = volume;
    return response;
  };
  script_.get_volume = [&](const agent::v1::GetVolumeRequest& request) {
    EXPECT_EQ(request.volume_id(), "disk-00000001");
    return volume;
  };
  script_.delete_volume = [](const agent::v1::DeleteVolumeRequest& request) {
    EXPECT_EQ(request.volume_id(), "disk-00000001");
    EXPECT_EQ(request.etag(), "e");
    EXPECT_FALSE(request.request_id().empty());
    return MakeOperation(Operation::DELETE_VOLUME, request.volume_id(), Operation::OPERATING);
  };
  EXPECT_EQ(Run({"volume", "list", "--owner", "alice", "-o", "id"}).out, "disk-00000001\n");
  EXPECT_THAT(Run({"volume", "get", "disk-00000001"}).out, HasSubstr("AVAILABLE"));
  EXPECT_EQ(Run({"volume", "delete", "disk-00000001", "--etag", "e"}).exit_code, 0);
}

TEST_F(CvmctlHostTest, DeleteAndCreateNameTheDisksToKeepAndToUseAgain) {
  script_.delete_instance = [](const agent::v1::DeleteInstanceRequest& request) {
    EXPECT_EQ(request.keep_disk_ids_size(), 2);
    EXPECT_EQ(request.keep_disk_ids(1), "disk-00000002");
    return MakeOperation(Operation::DELETE_INSTANCE, request.instance_id(), Operation::OPERATING);
  };
  EXPECT_EQ(Run({"instance", "delete", "ins-00000001", "--keep", "disk-00000001", "--keep",
                 "disk-00000002"})
                .exit_code,
            0);
  script_.create_instance = [](const agent::v1::CreateInstanceRequest& request) {
    EXPECT_EQ(request.spec().data_disks_size(), 1);
    EXPECT_EQ(request.spec().data_disks(0).id(), "disk-00000002");
    EXPECT_EQ(request.spec().data_disks(0).size_bytes(), 0u);
    return MakeOperation(Operation::CREATE_INSTANCE, "ins-00000001", Operation::OPERATING);
  };
  EXPECT_EQ(Run({"instance", "create", "--image", "img-debian12", "--memory", "1G", "--data-disk",
                 "id=disk-00000002"})
                .exit_code,
            0);
}

}  // namespace
}  // namespace cvm::cli
