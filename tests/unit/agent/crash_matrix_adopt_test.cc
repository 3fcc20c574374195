// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "tests/unit/agent/crash_matrix.h"

#include "common/file.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using v1::Operation;

class CrashMatrixAdoptTest : public CrashMatrixTest {
 protected:
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
    change.erase_instances.emplace_back(kId);
    ASSERT_TRUE(agent_.ledger().Commit(change).ok());
    agent_.Settle();
  }
};

TEST_F(CrashMatrixAdoptTest, Adopt) {
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

TEST_F(CrashMatrixAdoptTest, AdoptThatFailsAndIsUndone) {
  const std::string uuid = AddHandMadeDomain();
  ForEverySite(
      [&] {
        LetGo();
        ASSERT_TRUE(agent_.host->SetHostAutostart(uuid, true).ok());
        agent_.host->FailNext(FakeMethod::kSetAutostart,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
      },
      [&](const std::string& id) { return Adopt(id); },
      [&](const Operation& operation) {
        // A crash between the failure and its being written down lets the step be run again.
        if (operation.state() == Operation::SUCCESS) return;
        EXPECT_EQ(agent_.Find(kId), nullptr);
        EXPECT_EQ(agent_.host->FindSpec(uuid)->metadata, "");
        EXPECT_TRUE(agent_.host->Autostart(uuid));
      },
      9);
}

TEST_F(CrashMatrixAdoptTest, RepairHost) {
  const std::string orphan = agent_.paths().Volume("disk-orphan01");
  const auto repair = [&](const std::string& id) {
    v1::RepairHostRequest request;
    request.set_request_id(id);
    return agent_.hosts().Repair(agent_.caller, request);
  };
  begins_untidy_ = true;
  ForEverySite(
      [&] {
        // What a repair that was refused or that failed has left.
        if (agent_.Find(kId) != nullptr) agent_.WaitEndAdvancing(repair("")->id());
        MakeStopped();
        ASSERT_TRUE(agent_.host->RemoveDomain(agent_.UuidOf(kId)).ok());
        ASSERT_TRUE(WriteFileAtomically(orphan, "planted", 0600).ok());
        agent_.Settle();
      },
      repair,
      [&](const Operation& operation) {
        EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
        ExpectPower(v1::STOPPED, PowerState::kStopped);
      },
      8);
}

}  // namespace
}  // namespace cvm::agent::core
