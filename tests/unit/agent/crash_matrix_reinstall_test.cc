// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/agent/crash_matrix.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using v1::Operation;

constexpr char kHash[] =
    "$6$saltsalt$"
    "qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";

class CrashMatrixReinstallTest : public CrashMatrixTest {
 protected:
  CrashMatrixReinstallTest()
      : CrashMatrixTest([](Config& config) { config.rescue.image_id = "img-base0000"; }) {}

  absl::StatusOr<Operation> Reinstall(const std::string& request_id) {
    v1::ReinstallInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    request.mutable_login()->set_password_hash(kHash);
    request.set_force_stop(true);
    return agent_.instances().Reinstall(agent_.caller, request);
  }

  absl::StatusOr<Operation> EnterRescue(const std::string& request_id) {
    v1::EnterRescueRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    request.mutable_login()->set_password_hash(kHash);
    request.set_force_stop(true);
    return agent_.instances().EnterRescue(agent_.caller, request);
  }

  absl::StatusOr<Operation> ExitRescue(const std::string& request_id) {
    v1::ExitRescueRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    return agent_.instances().ExitRescue(agent_.caller, request);
  }

  void LeaveRescue() {
    if (agent_.Find(kId) != nullptr && agent_.Find(kId)->has_rescue()) {
      ASSERT_EQ(agent_.Run(ExitRescue("")).state(), Operation::SUCCESS);
      agent_.Settle();
    }
    MakeRunning();
  }

  std::string FirstDisk() { return agent_.host->FindSpec(agent_.UuidOf(kId))->disks[0].id; }
};

TEST_F(CrashMatrixReinstallTest, Reinstall) {
  std::string disk;
  uint32_t generation = 0;
  ForEverySite(
      [&] {
        MakeRunning();
        disk = agent_.Find(kId)->spec().system_disk().id();
        generation = agent_.Find(kId)->install_generation();
      },
      [&](const std::string& id) { return Reinstall(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
        agent_.Settle();
        ExpectPower(v1::RUNNING, PowerState::kRunning);
        EXPECT_NE(agent_.Find(kId)->spec().system_disk().id(), disk);
        EXPECT_EQ(agent_.Find(kId)->install_generation(), generation + 1);
        EXPECT_EQ(FirstDisk(), agent_.Find(kId)->spec().system_disk().id());
        EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, kHash);
      },
      16);
}

TEST_F(CrashMatrixReinstallTest, ReinstallThatFailsAndIsUndone) {
  std::string disk;
  ForEverySite(
      [&] {
        if (agent_.Find(kId) != nullptr && agent_.Find(kId)->install_generation() > 0) {
          DeleteIfThere();
        }
        MakeRunning();
        disk = agent_.Find(kId)->spec().system_disk().id();
        agent_.host->FailNext(FakeMethod::kStartDomain,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return Reinstall(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::FAILED);
        agent_.Settle();
        ExpectPower(v1::RUNNING, PowerState::kRunning);
        EXPECT_EQ(agent_.Find(kId)->spec().system_disk().id(), disk);
        EXPECT_EQ(agent_.Find(kId)->install_generation(), 0u);
        EXPECT_EQ(FirstDisk(), disk);
        EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, "");
      },
      22);
}

TEST_F(CrashMatrixReinstallTest, EnterRescue) {
  ForEverySite([&] { LeaveRescue(); }, [&](const std::string& id) { return EnterRescue(id); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
                 agent_.Settle();
                 ExpectPower(v1::RESCUE, PowerState::kRunning);
                 EXPECT_EQ(FirstDisk(), agent_.Find(kId)->rescue().disk().id());
               },
               14);
}

TEST_F(CrashMatrixReinstallTest, EnterRescueThatFailsAndIsUndone) {
  ForEverySite(
      [&] {
        LeaveRescue();
        agent_.host->FailNext(FakeMethod::kStartDomain,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return EnterRescue(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::FAILED);
        agent_.Settle();
        ExpectPower(v1::RUNNING, PowerState::kRunning);
        EXPECT_FALSE(agent_.Find(kId)->has_rescue());
        EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
        EXPECT_EQ(FirstDisk(), agent_.Find(kId)->spec().system_disk().id());
      },
      20);
}

TEST_F(CrashMatrixReinstallTest, ExitRescue) {
  ForEverySite(
      [&] {
        LeaveRescue();
        ASSERT_EQ(agent_.Run(EnterRescue("")).state(), Operation::SUCCESS);
        agent_.Settle();
      },
      [&](const std::string& id) { return ExitRescue(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
        agent_.Settle();
        ExpectPower(v1::RUNNING, PowerState::kRunning);
        EXPECT_FALSE(agent_.Find(kId)->has_rescue());
        EXPECT_EQ(FirstDisk(), agent_.Find(kId)->spec().system_disk().id());
      },
      12);
}

TEST_F(CrashMatrixReinstallTest, ExitRescueThatFailsAndIsUndone) {
  ForEverySite(
      [&] {
        LeaveRescue();
        ASSERT_EQ(agent_.Run(EnterRescue("")).state(), Operation::SUCCESS);
        agent_.Settle();
        agent_.host->FailNext(FakeMethod::kStartDomain,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return ExitRescue(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::FAILED);
        agent_.Settle();
        ExpectPower(v1::RESCUE, PowerState::kRunning);
        EXPECT_EQ(FirstDisk(), agent_.Find(kId)->rescue().disk().id());
      },
      16);
}

}  // namespace
}  // namespace cvm::agent::core
