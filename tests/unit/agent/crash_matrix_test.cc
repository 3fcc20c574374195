// SPDX-License-Identifier: Apache-2.0
//
// Kills the agent at every instant that matters of every workflow, starts it again, and looks
// whether what it then says of the operation is what is true of the host.
#include <functional>

#include "agent/core/derive_state.h"
#include "common/file.h"
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

  // A running domain of somebody else's; its UUID.
  std::string AddHandMadeDomain() {
    hypervisor::DomainSpec spec;
    spec.name = "by hand";
    spec.uuid = "11111111-2222-4333-8444-555555555555";
    spec.memory_mib = 64;
    spec.disks.push_back({.id = "a", .path = "/somewhere/a.qcow2"});
    agent_.host->AddForeignDomain(spec, PowerState::kRunning, true);
    agent_.Settle();
    return spec.uuid;
  }

  absl::StatusOr<Operation> Adopt(const std::string& request_id) {
    v1::AdoptInstanceRequest request;
    request.set_request_id(request_id);
    request.set_uuid("11111111-2222-4333-8444-555555555555");
    request.set_instance_id(kId);
    return agent_.instances().Adopt(agent_.caller, request);
  }

  // The adopted domain is as it was before.
  void LetGo() {
    const InstancePtr instance = agent_.Find(kId);
    if (instance == nullptr) return;
    ASSERT_TRUE(agent_.host
                    ->EditDomain(instance->uuid(),
                                 [](hypervisor::DomainSpec& spec) { spec.metadata.clear(); })
                    .ok());
    LedgerChange change;
    change.erase_instances.push_back(kId);
    ASSERT_TRUE(agent_.ledger().Commit(change).ok());
    agent_.Settle();
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

TEST_F(CrashMatrixTest, Adopt) {
  const std::string uuid = AddHandMadeDomain();
  ForEverySite(
      [&] {
        LetGo();
        ASSERT_TRUE(agent_.host->SetHostAutostart(uuid, true).ok());
      },
      [&](const std::string& id) { return Adopt(id); },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
        EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
        EXPECT_NE(agent_.host->FindSpec(uuid)->metadata.find(kId), std::string::npos);
        EXPECT_FALSE(agent_.host->Autostart(uuid));
        EXPECT_EQ(agent_.host->Boots(uuid), 0);
      },
      8);
}

TEST_F(CrashMatrixTest, AdoptThatFailsAndIsUndone) {
  const std::string uuid = AddHandMadeDomain();
  ForEverySite(
      [&] {
        ASSERT_EQ(agent_.Find(kId), nullptr);
        ASSERT_TRUE(agent_.host->SetHostAutostart(uuid, true).ok());
        agent_.host->FailNext(FakeMethod::kSetAutostart,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return Adopt(id); },
      [&](const Operation& operation) {
        // A crash between the failure and its being written down lets the step be run again.
        if (operation.state() == Operation::SUCCESS) {
          LetGo();
          return;
        }
        EXPECT_EQ(agent_.Find(kId), nullptr);
        EXPECT_EQ(agent_.host->FindSpec(uuid)->metadata, "");
        EXPECT_TRUE(agent_.host->Autostart(uuid));
      },
      9);
}

TEST_F(CrashMatrixTest, RepairHost) {
  const std::string orphan = agent_.paths().Volume("disk-orphan01");
  ForEverySite(
      [&] {
        MakeStopped();
        ASSERT_TRUE(agent_.host->RemoveDomain(agent_.UuidOf(kId)).ok());
        ASSERT_TRUE(WriteFileAtomically(orphan, "planted", 0600).ok());
        agent_.Settle();
      },
      [&](const std::string& id) {
        v1::RepairHostRequest request;
        request.set_request_id(id);
        return agent_.hosts().Repair(agent_.caller, request);
      },
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
        ExpectPower(v1::STOPPED, PowerState::kStopped);
      },
      8);
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
