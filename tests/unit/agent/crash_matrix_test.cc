// SPDX-License-Identifier: Apache-2.0
//
// Kills the agent at every instant that matters of every workflow, starts it again, and looks
// whether what it then says of the operation is what is true of the host.
#include <functional>

#include "agent/core/derive_state.h"
#include "agent/core/maintenance.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using hypervisor::PowerState;
using v1::Operation;

constexpr char kId[] = "ins-00000001";

class CrashMatrixTest : public ::testing::Test {
 protected:
  using Submit = std::function<absl::StatusOr<Operation>(const std::string& request_id)>;

  CrashMatrixTest() { agent_.ImportBase(); }

  // For every site: `prepare`, the operation with a crash at the site, a restart, `check` with the
  // ended operation.
  void ForEverySite(const std::function<void()>& prepare, const Submit& submit,
                    const std::function<void(const Operation&)>& check, size_t at_least) {
    size_t sites = 0;
    bool reached = true;
    for (size_t site = 0; reached; ++site) {
      prepare();
      if (HasFatalFailure()) return;
      const std::string request_id = "request-" + std::to_string(++requests_);
      agent_.crash_sites.Arm(site);
      const auto submitted = submit(request_id);
      if (!submitted.ok() && agent_.crash_sites.crashed()) {
        // Killed before anything was written down: it never happened.
        agent_.crash_sites.Disarm();
        agent_.Restart();
        agent_.ExpectNothingLeftOver();
        sites = site + 1;
        continue;
      }
      ASSERT_TRUE(submitted.ok()) << submitted.status();
      reached = agent_.WaitCrashOrEnd(submitted->id());
      const std::vector<std::string> passed = agent_.crash_sites.passed();
      agent_.crash_sites.Disarm();
      SCOPED_TRACE(reached ? passed.back() : "no crash");
      if (reached) {
        ASSERT_EQ(passed.size(), site + 1);
        agent_.Restart();
        sites = site + 1;
      }
      const Operation operation = agent_.WaitEndAdvancing(submitted->id());
      EXPECT_NE(operation.state(), Operation::OPERATING);
      agent_.ExpectNothingLeftOver();
      check(operation);
      // The client that had no answer asks again.
      const auto replay = submit(request_id);
      ASSERT_TRUE(replay.ok()) << replay.status();
      EXPECT_EQ(replay->id(), operation.id());
      EXPECT_EQ(replay->state(), operation.state());
      if (HasFailure()) return;
    }
    // The sites were really there.
    EXPECT_GE(sites, at_least);
  }

  void DeleteIfThere() {
    if (agent_.Find(kId) == nullptr) return;
    const Operation operation = agent_.Run(Delete(""));
    ASSERT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
    agent_.ExpectNothingLeftOver();
  }

  void MakeRunning() {
    if (agent_.Find(kId) == nullptr) agent_.MakeInstance(kId);
    if (agent_.StateOf(kId) == v1::STOPPED) {
      v1::StartInstanceRequest request;
      request.set_instance_id(kId);
      agent_.Run(agent_.instances().Start(agent_.caller, request));
      agent_.Settle();
    }
    ASSERT_EQ(agent_.StateOf(kId), v1::RUNNING);
  }

  void MakeStopped() {
    if (agent_.Find(kId) == nullptr) agent_.MakeInstance(kId);
    if (agent_.StateOf(kId) == v1::RUNNING) {
      v1::StopInstanceRequest request;
      request.set_instance_id(kId);
      request.set_mode(v1::STOP_MODE_HARD);
      agent_.Run(agent_.instances().Stop(agent_.caller, request));
      agent_.Settle();
    }
    ASSERT_EQ(agent_.StateOf(kId), v1::STOPPED);
  }

  absl::StatusOr<Operation> Create(const std::string& request_id) {
    return agent_.instances().Create(agent_.caller, agent_.BigCreateRequest(kId, request_id));
  }

  absl::StatusOr<Operation> Stop(const std::string& request_id, v1::StopMode mode) {
    v1::StopInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    request.set_mode(mode);
    *request.mutable_timeout() = ToProtoDuration(absl::Hours(1));
    return agent_.instances().Stop(agent_.caller, request);
  }

  absl::StatusOr<Operation> Delete(const std::string& request_id,
                                   absl::Duration recycle_period = absl::ZeroDuration()) {
    v1::DeleteInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    *request.mutable_recycle_period() = ToProtoDuration(recycle_period);
    return agent_.instances().Delete(agent_.caller, request);
  }

  absl::StatusOr<Operation> Resize(const std::string& request_id, uint32_t vcpus) {
    v1::ResizeInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    request.set_vcpus(vcpus);
    request.set_force_stop(true);
    return agent_.instances().Resize(agent_.caller, request);
  }

  // A running guest of 1 vCPU and 256 MiB that can be grown.
  void MakeGrowable() {
    DeleteIfThere();
    v1::CreateInstanceRequest request = agent_.CreateRequest(kId);
    request.mutable_spec()->set_memory_mib(256);
    request.mutable_spec()->set_max_vcpus(4);
    request.mutable_spec()->set_max_memory_mib(768);
    ASSERT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
              Operation::SUCCESS);
    agent_.Settle();
    ASSERT_EQ(agent_.StateOf(kId), v1::RUNNING);
  }

  absl::StatusOr<Operation> ResizeOnline(const std::string& request_id, uint32_t vcpus,
                                         uint64_t memory_mib) {
    v1::ResizeInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(kId);
    request.set_vcpus(vcpus);
    request.set_memory_mib(memory_mib);
    request.set_online(true);
    request.mutable_timeout()->set_seconds(12);
    return agent_.instances().Resize(agent_.caller, request);
  }

  // The record, the definition and the running guest have the same size.
  void ExpectSize(uint32_t vcpus, uint64_t hotplug_mib, uint64_t balloon_mib) {
    agent_.Settle();
    ExpectPower(v1::RUNNING, PowerState::kRunning);
    const InstancePtr instance = agent_.Find(kId);
    EXPECT_EQ(instance->spec().vcpus(), vcpus);
    EXPECT_EQ(instance->spec().memory_mib(), balloon_mib + hotplug_mib);
    EXPECT_FALSE(instance->has_pending_size());
    const auto definition = agent_.host->FindSpec(agent_.UuidOf(kId));
    EXPECT_EQ(definition->vcpus, vcpus);
    EXPECT_EQ(definition->hotplug_requested_mib, hotplug_mib);
    EXPECT_EQ(definition->balloon_mib, balloon_mib);
    const auto live = agent_.host->SizeOf(agent_.UuidOf(kId));
    EXPECT_EQ(live->vcpus, vcpus);
    EXPECT_EQ(live->hotplug_requested_mib, hotplug_mib);
    EXPECT_EQ(live->balloon_mib, balloon_mib);
    EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 1);
  }

  void ExpectPower(v1::InstanceState state, PowerState domain) {
    EXPECT_EQ(agent_.StateOf(kId), state);
    EXPECT_EQ(agent_.DomainStateOf(kId), domain);
  }

  AgentHarness agent_;
  int requests_ = 0;
};

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

TEST_F(CrashMatrixTest, ResizeOnline) {
  ForEverySite([&] { MakeGrowable(); },
               [&](const std::string& id) { return ResizeOnline(id, 3, 512); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectSize(3, 256, 256);
               },
               14);
}

TEST_F(CrashMatrixTest, ResizeOnlineByBalloon) {
  ForEverySite([&] { MakeGrowable(); },
               [&](const std::string& id) { return ResizeOnline(id, 0, 192); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectSize(1, 0, 192);
               },
               10);
}

TEST_F(CrashMatrixTest, ResizeOnlineThatFailsAtItsEndAndIsUndone) {
  ForEverySite(
      [&] {
        MakeGrowable();
        agent_.host->FailNext(FakeMethod::kAddVcpus,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return ResizeOnline(id, 3, 512); },
      [&](const Operation& operation) {
        EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
        ExpectSize(1, 0, 256);
      },
      20);
}

TEST_F(CrashMatrixTest, ResizeOnlineOfAGuestThatDoesNothing) {
  ForEverySite(
      [&] {
        MakeGrowable();
        ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), true).ok());
      },
      [&](const std::string& id) { return ResizeOnline(id, 3, 512); },
      [&](const Operation& operation) {
        EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_CANNOT_RESIZE_ONLINE);
        ExpectSize(1, 0, 256);
      },
      10);
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

TEST_F(CrashMatrixTest, DeleteThatKeepsADisk) {
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

TEST_F(CrashMatrixTest, CreateWithAVolume) {
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

TEST_F(CrashMatrixTest, SetMaintenance) {
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

TEST_F(CrashMatrixTest, StopGuests) {
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
