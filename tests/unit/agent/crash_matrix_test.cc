// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/agent/crash_matrix.h"

#include "agent/core/derive_state.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;

TEST_F(CrashMatrixTest, Create) {
  ForEverySite([&] { DeleteIfThere(); }, [&](const std::string& id) { return Create(id); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
                 ExpectPower(v1::RUNNING, PowerState::kRunning);
                 EXPECT_EQ(agent_.host->Domains().size(), 1u);
                 EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 1);
               },
               18);
}

TEST_F(CrashMatrixTest, CreateThatFailsAndIsUndone) {
  ForEverySite(
      [&] {
        DeleteIfThere();
        agent_.host->FailNext(FakeMethod::kStartDomain,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return Create(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::FAILED);
        EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
        EXPECT_EQ(agent_.StateOf(kId), v1::LAUNCH_FAILED);
        EXPECT_TRUE(agent_.host->Domains().empty());
        EXPECT_FALSE(HoldsResources(*agent_.Find(kId)));
      },
      22);
}

TEST_F(CrashMatrixTest, Start) {
  ForEverySite([&] { MakeStopped(); },
               [&](const std::string& id) {
                 v1::StartInstanceRequest request;
                 request.set_request_id(id);
                 request.set_instance_id(kId);
                 return agent_.instances().Start(agent_.caller, request);
               },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectPower(v1::RUNNING, PowerState::kRunning);
                 EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
               },
               5);
}

TEST_F(CrashMatrixTest, StopHard) {
  ForEverySite([&] { MakeRunning(); },
               [&](const std::string& id) { return Stop(id, v1::STOP_MODE_HARD); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectPower(v1::STOPPED, PowerState::kStopped);
                 EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);
               },
               5);
}

TEST_F(CrashMatrixTest, StopSoft) {
  ForEverySite([&] { MakeRunning(); },
               [&](const std::string& id) { return Stop(id, v1::STOP_MODE_SOFT); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectPower(v1::STOPPED, PowerState::kStopped);
               },
               5);
}

TEST_F(CrashMatrixTest, RebootHard) {
  ForEverySite([&] { MakeRunning(); },
               [&](const std::string& id) {
                 v1::RebootInstanceRequest request;
                 request.set_request_id(id);
                 request.set_instance_id(kId);
                 request.set_mode(v1::STOP_MODE_HARD);
                 return agent_.instances().Reboot(agent_.caller, request);
               },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectPower(v1::RUNNING, PowerState::kRunning);
               },
               5);
}

TEST_F(CrashMatrixTest, RebootSoft) {
  int boots = 0;
  ForEverySite(
      [&] {
        MakeRunning();
        boots = agent_.host->Boots(agent_.UuidOf(kId));
      },
      [&](const std::string& id) {
        v1::RebootInstanceRequest request;
        request.set_request_id(id);
        request.set_instance_id(kId);
        request.set_mode(v1::STOP_MODE_SOFT);
        *request.mutable_timeout() = ToProtoDuration(absl::Seconds(30));
        return agent_.instances().Reboot(agent_.caller, request);
      },
      [&](const Operation& operation) {
        ExpectPower(v1::RUNNING, PowerState::kRunning);
        // A reboot that came while the agent was away was not seen; it is never asked for twice.
        const int rebooted = agent_.host->Boots(agent_.UuidOf(kId)) - boots;
        EXPECT_LE(rebooted, 1);
        if (operation.state() == Operation::SUCCESS) {
          EXPECT_EQ(rebooted, 1);
        } else {
          EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_GUEST_IGNORED_REBOOT);
        }
      },
      5);
}

TEST_F(CrashMatrixTest, Update) {
  std::string owner;
  ForEverySite([&] { MakeRunning(); },
               [&](const std::string& id) {
                 owner = "owner-" + id;
                 v1::UpdateInstanceRequest request;
                 request.set_request_id(id);
                 request.set_instance_id(kId);
                 request.set_owner(owner);
                 request.mutable_spec()->set_user_data("#" + owner);
                 request.mutable_update_mask()->add_paths("owner");
                 request.mutable_update_mask()->add_paths("spec.user_data");
                 return agent_.instances().Update(agent_.caller, request);
               },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectPower(v1::RUNNING, PowerState::kRunning);
                 EXPECT_EQ(agent_.Find(kId)->owner(), owner);
                 EXPECT_EQ(agent_.store().LoadSecrets(kId)->user_data, "#" + owner);
                 EXPECT_NE(agent_.host->FindSpec(agent_.UuidOf(kId))->metadata.find(owner),
                           std::string::npos);
               },
               3);
}

TEST_F(CrashMatrixTest, Resize) {
  uint32_t vcpus = 1;
  ForEverySite(
      [&] {
        MakeRunning();
        vcpus = 3 - agent_.Find(kId)->spec().vcpus();
      },
      [&](const std::string& id) { return Resize(id, vcpus); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        ExpectPower(v1::RUNNING, PowerState::kRunning);
        EXPECT_EQ(agent_.Find(kId)->spec().vcpus(), vcpus);
        EXPECT_EQ(agent_.host->FindSpec(agent_.UuidOf(kId))->vcpus, vcpus);
      },
      8);
}

TEST_F(CrashMatrixTest, ResizeThatFailsAndIsUndone) {
  ForEverySite(
      [&] {
        if (agent_.Find(kId) != nullptr && agent_.Find(kId)->spec().vcpus() > 1) DeleteIfThere();
        MakeRunning();
        agent_.host->FailNext(FakeMethod::kStartDomain,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return Resize(id, 2); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::FAILED);
        agent_.Settle();
        ExpectPower(v1::RUNNING, PowerState::kRunning);
        EXPECT_EQ(agent_.Find(kId)->spec().vcpus(), 1u);
        EXPECT_EQ(agent_.host->FindSpec(agent_.UuidOf(kId))->vcpus, 1u);
      },
      12);
}

TEST_F(CrashMatrixTest, Delete) {
  ForEverySite(
      [&] {
        if (agent_.Find(kId) == nullptr) {
          agent_.Run(Create("create-" + std::to_string(requests_)));
          agent_.Settle();
        }
        ASSERT_EQ(agent_.StateOf(kId), v1::RUNNING);
      },
      [&](const std::string& id) { return Delete(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        EXPECT_EQ(agent_.Find(kId), nullptr);
        EXPECT_TRUE(agent_.host->Domains().empty());
      },
      12);
}

TEST_F(CrashMatrixTest, DeleteWithARecyclePeriod) {
  ForEverySite(
      [&] {
        DeleteIfThere();
        MakeRunning();
      },
      [&](const std::string& id) { return Delete(id, absl::Hours(1)); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        ExpectPower(v1::SHUTDOWN, PowerState::kStopped);
      },
      5);
}

TEST_F(CrashMatrixTest, Restore) {
  ForEverySite(
      [&] {
        DeleteIfThere();
        MakeRunning();
        agent_.Run(Delete("", absl::Hours(1)));
      },
      [&](const std::string& id) {
        v1::RestoreInstanceRequest request;
        request.set_request_id(id);
        request.set_instance_id(kId);
        return agent_.instances().Restore(agent_.caller, request);
      },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        ExpectPower(v1::STOPPED, PowerState::kStopped);
      },
      2);
}

TEST_F(CrashMatrixTest, ImportImage) {
  ForEverySite(
      [&] {
        if (!agent_.images().Get("img-other000").ok()) return;
        v1::DeleteImageRequest request;
        request.set_image_id("img-other000");
        ASSERT_EQ(agent_.Run(agent_.images().Delete(agent_.caller, request)).state(),
                  Operation::SUCCESS);
      },
      [&](const std::string& id) {
        return agent_.images().Import(agent_.caller, agent_.ImportRequest("img-other000", id));
      },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        const auto image = agent_.images().Get("img-other000");
        ASSERT_TRUE(image.ok());
        EXPECT_EQ(image->state(), v1::Image::READY);
        EXPECT_TRUE(agent_.core().disk_images.Inspect(agent_.paths().Image("img-other000")).ok());
      },
      5);
}

TEST_F(CrashMatrixTest, DeleteImage) {
  ForEverySite(
      [&] {
        if (!agent_.images().Get("img-other000").ok()) agent_.ImportBase("img-other000");
      },
      [&](const std::string& id) {
        v1::DeleteImageRequest request;
        request.set_request_id(id);
        request.set_image_id("img-other000");
        return agent_.images().Delete(agent_.caller, request);
      },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS);
        EXPECT_EQ(ReasonOf(agent_.images().Get("img-other000").status()),
                  ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND);
      },
      3);
}

TEST_F(CrashMatrixTest, CancelIsKeptAcrossACrash) {
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  const auto submitted = Create("r");
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  agent_.Restart();
  const Operation operation = agent_.WaitEndAdvancing(submitted->id());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_OPERATION_CANCELLED);
  agent_.ExpectNothingLeftOver();
}

}  // namespace
}  // namespace cvm::agent::core
