// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/agent/crash_matrix.h"

#include "agent/core/maintenance.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;

class CrashMatrixHostTest : public CrashMatrixTest {};

TEST_F(CrashMatrixHostTest, DeleteThatKeepsADisk) {
  constexpr char kKept[] = "disk-kept0000";
  const auto delete_volume = [&](const std::string& id) {
    v1::DeleteVolumeRequest request;
    request.set_request_id(id);
    request.set_volume_id(kKept);
    return agent_.volumes().Delete(agent_.caller, request);
  };
  ForEverySite(
      [&] {
        DeleteIfThere();
        if (agent_.volumes().Get(kKept).ok()) agent_.Run(delete_volume(""));
        v1::CreateInstanceRequest request = agent_.BigCreateRequest(kId);
        request.mutable_spec()->mutable_data_disks(1)->set_id(kKept);
        ASSERT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
                  Operation::SUCCESS);
        agent_.Settle();
      },
      [&](const std::string& id) {
        v1::DeleteInstanceRequest request;
        request.set_request_id(id);
        request.set_instance_id(kId);
        request.add_keep_disk_ids(kKept);
        return agent_.instances().Delete(agent_.caller, request);
      },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        EXPECT_EQ(agent_.Find(kId), nullptr);
        EXPECT_TRUE(agent_.volumes().Get(kKept).ok());
        EXPECT_TRUE(agent_.core().disk_images.Inspect(agent_.paths().Volume(kKept)).ok());
      },
      12);
  // The volume's own deletion.
  ForEverySite(
      [&] {
        if (agent_.volumes().Get(kKept).ok()) return;
        v1::CreateInstanceRequest request = agent_.BigCreateRequest(kId);
        request.mutable_spec()->mutable_data_disks(1)->set_id(kKept);
        agent_.Run(agent_.instances().Create(agent_.caller, request));
        v1::DeleteInstanceRequest deletion;
        deletion.set_instance_id(kId);
        deletion.add_keep_disk_ids(kKept);
        ASSERT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, deletion)).state(),
                  Operation::SUCCESS);
      },
      delete_volume,
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        EXPECT_EQ(ReasonOf(agent_.volumes().Get(kKept).status()),
                  ErrorReason::ERROR_REASON_VOLUME_NOT_FOUND);
      },
      3);
}

TEST_F(CrashMatrixHostTest, CreateWithAVolume) {
  constexpr char kKept[] = "disk-kept0000";
  bool fails = false;
  const auto with_volume = [&](const std::string& id) {
    v1::CreateInstanceRequest request = agent_.BigCreateRequest(kId, id);
    request.mutable_spec()->mutable_data_disks(0)->set_id(kKept);
    return agent_.instances().Create(agent_.caller, request);
  };
  const auto prepare = [&] {
    if (agent_.Find(kId) == nullptr && !agent_.volumes().Get(kKept).ok()) {
      ASSERT_EQ(agent_.Run(with_volume("")).state(), Operation::SUCCESS);
    }
    if (agent_.Find(kId) != nullptr) {
      v1::DeleteInstanceRequest request;
      request.set_instance_id(kId);
      if (agent_.StateOf(kId) != v1::LAUNCH_FAILED) request.add_keep_disk_ids(kKept);
      ASSERT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, request)).state(),
                Operation::SUCCESS);
    }
    ASSERT_TRUE(agent_.volumes().Get(kKept).ok());
    if (!fails) return;
    agent_.host->FailNext(FakeMethod::kStartDomain,
                          Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  };
  ForEverySite(
      prepare, with_volume,
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        EXPECT_EQ(agent_.Find(kId)->spec().data_disks(0).id(), kKept);
        EXPECT_FALSE(agent_.volumes().Get(kKept).ok());
      },
      16);
  fails = true;
  ForEverySite(
      prepare, with_volume,
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::FAILED);
        EXPECT_EQ(agent_.StateOf(kId), v1::LAUNCH_FAILED);
        const auto volume = agent_.volumes().Get(kKept);
        ASSERT_TRUE(volume.ok());
        EXPECT_EQ(volume->state(), v1::Volume::AVAILABLE);
      },
      20);
}

TEST_F(CrashMatrixHostTest, SetMaintenance) {
  bool on = false;
  ForEverySite([&] { on = !on; },
               [&](const std::string& id) {
                 v1::SetMaintenanceRequest request;
                 request.set_request_id(id);
                 request.set_on(on);
                 return agent_.hosts().SetMaintenance(agent_.caller, request);
               },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 EXPECT_EQ(CheckMaintenance(agent_.core()).ok(), !on);
               },
               2);
}

TEST_F(CrashMatrixHostTest, StopGuests) {
  bool ignores = false;
  const auto prepare = [&] {
    MakeRunning();
    ASSERT_TRUE(agent_.host->IgnoreShutdown(agent_.UuidOf(kId), ignores).ok());
  };
  const auto submit = [&](const std::string& id) {
    v1::StopGuestsRequest request;
    request.set_request_id(id);
    *request.mutable_budget() = ToProtoDuration(absl::Seconds(15));
    return agent_.hosts().StopGuests(agent_.caller, request);
  };
  const auto check = [&](const Operation& operation) {
    EXPECT_EQ(operation.state(), Operation::SUCCESS);
    ExpectPower(v1::STOPPED, PowerState::kStopped);
    EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
  };
  ForEverySite(prepare, submit, check, 4);
  ignores = true;
  ForEverySite(prepare, submit, check, 8);
}

}  // namespace
}  // namespace cvm::agent::core
