// SPDX-License-Identifier: Apache-2.0
//
// AdoptInstance: a domain of somebody else's becomes an instance, and nothing of it changes but the
// agent's element.
#include "agent/core/domain_builder.h"
#include "common/file.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainSpec;
using hypervisor::FakeMethod;
using hypervisor::PowerState;
using v1::Operation;

constexpr char kId[] = "ins-adopted1";
constexpr char kUuid[] = "11111111-2222-4333-8444-555555555555";

DomainSpec HandMade() {
  DomainSpec spec;
  spec.name = "web server";
  spec.uuid = kUuid;
  spec.vcpus = 2;
  spec.memory_mib = 300;
  spec.machine_type = "pc-i440fx-7.2";
  spec.disks.push_back({.id = "a", .path = "/somewhere/a.raw"});
  spec.disks.push_back({.id = "b", .path = "/somewhere/b.qcow2"});
  spec.nics.push_back({.id = "n", .mac = "52:54:00:00:00:77", .bridge = "br-a", .tap_name = "t0"});
  return spec;
}

class AdoptTest : public ::testing::Test {
 protected:
  void AddDomain(PowerState state = PowerState::kRunning, bool persistent = true) {
    agent_.host->AddForeignDomain(HandMade(), state, persistent);
    agent_.Settle();
  }

  v1::AdoptInstanceRequest Request(const std::string& request_id = "") {
    v1::AdoptInstanceRequest request;
    request.set_request_id(request_id);
    request.set_uuid(kUuid);
    request.set_instance_id(kId);
    request.set_owner("me");
    return request;
  }

  absl::StatusOr<Operation> Adopt(const std::string& request_id = "") {
    return agent_.instances().Adopt(agent_.caller, Request(request_id));
  }

  void Adopted(PowerState state = PowerState::kRunning) {
    AddDomain(state);
    const Operation operation = agent_.Run(Adopt());
    ASSERT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
    agent_.Settle();
  }

  ErrorReason Refused(const absl::StatusOr<Operation>& operation) {
    return ReasonOf(operation.status());
  }

  AgentHarness agent_;
};

TEST_F(AdoptTest, ReadsTheSpecAndChangesNothingButTheElement) {
  AddDomain();
  ASSERT_TRUE(agent_.host->SetHostAutostart(kUuid, true).ok());
  const Operation operation = agent_.Run(Adopt());
  EXPECT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
  const InstancePtr instance = agent_.Find(kId);
  ASSERT_NE(instance, nullptr);
  EXPECT_EQ(instance->state(), v1::RUNNING);
  EXPECT_EQ(instance->uuid(), kUuid);
  EXPECT_EQ(instance->domain_name(), "web server");
  EXPECT_TRUE(instance->adopted());
  EXPECT_EQ(instance->owner(), "me");
  EXPECT_EQ(instance->wanted_power(), v1::WANTED_POWER_ON);
  const v1::InstanceSpec& spec = instance->spec();
  EXPECT_EQ(spec.name(), "web server");
  EXPECT_EQ(spec.vcpus(), 2u);
  EXPECT_EQ(spec.memory_mib(), 300u);
  EXPECT_EQ(spec.machine_type(), "pc-i440fx-7.2");
  EXPECT_EQ(spec.system_disk().size_bytes(), uint64_t{1} << 30);
  EXPECT_EQ(spec.data_disks_size(), 1);
  ASSERT_EQ(spec.nics_size(), 1);
  EXPECT_EQ(spec.nics(0).mac(), "52:54:00:00:00:77");
  EXPECT_EQ(spec.nics(0).network_id(), "net-a");

  DomainSpec expected = HandMade();
  const DomainSpec found = *agent_.host->FindSpec(kUuid);
  EXPECT_EQ(found.name, expected.name);
  EXPECT_EQ(found.disks.size(), expected.disks.size());
  EXPECT_EQ(found.disks[0].path, expected.disks[0].path);
  EXPECT_EQ(InstanceOf(found.metadata)->id(), kId);
  EXPECT_FALSE(agent_.host->Autostart(kUuid));
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kDefineDomain), 0);
  agent_.ExpectNothingLeftOver();
}

TEST_F(AdoptTest, AStoppedDomainIsAdoptedStopped) {
  Adopted(PowerState::kStopped);
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_OFF);
  EXPECT_EQ(agent_.host->Boots(kUuid), 0);
}

TEST_F(AdoptTest, CountsAgainstTheCapacityButIsNotRefusedForIt) {
  agent_.config.limits.cpu_overcommit = 0.125;  // one vCPU in all
  Adopted();
  agent_.ImportBase();
  EXPECT_EQ(Refused(agent_.instances().Create(agent_.caller, agent_.CreateRequest("ins-other001"))),
            ErrorReason::ERROR_REASON_INSUFFICIENT_VCPUS);
}

TEST_F(AdoptTest, RefusesWhatCannotBeAdopted) {
  EXPECT_EQ(Refused(Adopt()), ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
  AddDomain(PowerState::kRunning, /*persistent=*/false);
  EXPECT_EQ(Refused(Adopt()), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  ASSERT_TRUE(agent_.host->RemoveDomain(kUuid).ok());

  AddDomain();
  ASSERT_TRUE(
      agent_.host->EditDomain(kUuid, [](DomainSpec& spec) { spec.metadata = "another agent's"; })
          .ok());
  EXPECT_EQ(Refused(Adopt()), ErrorReason::ERROR_REASON_DOMAIN_IN_USE);
  ASSERT_TRUE(agent_.host->EditDomain(kUuid, [](DomainSpec& spec) { spec.metadata = ""; }).ok());

  v1::AdoptInstanceRequest request = Request();
  request.clear_uuid();
  EXPECT_EQ(Refused(agent_.instances().Adopt(agent_.caller, request)),
            ErrorReason::ERROR_REASON_MISSING_FIELD);
  request = Request();
  request.set_instance_id("web");
  EXPECT_EQ(Refused(agent_.instances().Adopt(agent_.caller, request)),
            ErrorReason::ERROR_REASON_MALFORMED_ID);
  agent_.host->Disconnect();
  agent_.Settle();
  EXPECT_EQ(Refused(Adopt()), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  agent_.host->Reconnect();
  agent_.Settle();
  EXPECT_EQ(agent_.Run(Adopt()).state(), Operation::SUCCESS);
  EXPECT_EQ(Refused(Adopt()), ErrorReason::ERROR_REASON_DOMAIN_IN_USE);
  EXPECT_EQ(agent_.ledger().instances().All().size(), 1u);
}

TEST_F(AdoptTest, AReplayIsAnsweredAlsoWhenTheDomainIsGone) {
  AddDomain();
  const Operation first = agent_.Run(Adopt("once"));
  ASSERT_TRUE(agent_.host->RemoveDomain(kUuid).ok());
  ASSERT_TRUE(agent_.host->RemoveDomain(kUuid).ok());
  ASSERT_TRUE(agent_.host->Domains().empty());
  const auto again = Adopt("once");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->id(), first.id());
}

TEST_F(AdoptTest, AFailureTakesItAllBack) {
  AddDomain();
  ASSERT_TRUE(agent_.host->SetHostAutostart(kUuid, true).ok());
  agent_.host->LoseNextAnswer(FakeMethod::kSetAutostart,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  const Operation operation = agent_.Run(Adopt());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(agent_.Find(kId), nullptr);
  EXPECT_EQ(agent_.host->FindSpec(kUuid)->metadata, "");
  EXPECT_TRUE(agent_.host->Autostart(kUuid));
  EXPECT_EQ(agent_.DomainStateOf("web server"), PowerState::kRunning);
  EXPECT_EQ(agent_.Run(Adopt()).state(), Operation::SUCCESS);
}

TEST_F(AdoptTest, StopsStartsAndRebootsLikeAnyOther) {
  Adopted();
  v1::StopInstanceRequest stop;
  stop.set_instance_id(kId);
  stop.set_mode(v1::STOP_MODE_SOFT);
  EXPECT_EQ(agent_.Run(agent_.instances().Stop(agent_.caller, stop)).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  v1::StartInstanceRequest start;
  start.set_instance_id(kId);
  EXPECT_EQ(agent_.Run(agent_.instances().Start(agent_.caller, start)).state(), Operation::SUCCESS);
  v1::RebootInstanceRequest reboot;
  reboot.set_instance_id(kId);
  reboot.set_mode(v1::STOP_MODE_HARD);
  EXPECT_EQ(agent_.Run(agent_.instances().Reboot(agent_.caller, reboot)).state(),
            Operation::SUCCESS);
  EXPECT_TRUE(agent_.instances().GetScreenshot(kId).ok());
}

TEST_F(AdoptTest, AnUpdateWritesTheElementAndNoDefinition) {
  Adopted();
  v1::UpdateInstanceRequest request;
  request.set_instance_id(kId);
  request.set_owner("you");
  request.mutable_update_mask()->add_paths("owner");
  EXPECT_EQ(agent_.Run(agent_.instances().Update(agent_.caller, request)).state(),
            Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->owner(), "you");
  EXPECT_EQ(InstanceOf(agent_.host->FindSpec(kUuid)->metadata)->owner(), "you");
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kDefineDomain), 0);
  EXPECT_EQ(agent_.host->FindSpec(kUuid)->disks[0].path, "/somewhere/a.raw");
}

TEST_F(AdoptTest, ResizeIsRefusedByTheTable) {
  Adopted(PowerState::kStopped);
  v1::ResizeInstanceRequest request;
  request.set_instance_id(kId);
  request.set_vcpus(1);
  EXPECT_EQ(Refused(agent_.instances().Resize(agent_.caller, request)),
            ErrorReason::ERROR_REASON_ADOPTED_INSTANCE);
  bool listed = false;
  for (const v1::DeniedAction& denied : agent_.instances().Denied(*agent_.Find(kId))) {
    if (denied.action() == Operation::RESIZE_INSTANCE) {
      listed = denied.reason() == "ADOPTED_INSTANCE";
    }
  }
  EXPECT_TRUE(listed);
}

TEST_F(AdoptTest, DeletionUndefinesTheDomainAndLeavesItsDisks) {
  Adopted();
  // Of the same name as one of ours, in the agent's own folder: still not the agent's.
  const std::string disk = agent_.paths().Volume(agent_.Find(kId)->spec().system_disk().id());
  ASSERT_TRUE(WriteFileAtomically(disk, "somebody's", 0600).ok());
  v1::DeleteInstanceRequest request;
  request.set_instance_id(kId);
  EXPECT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, request)).state(),
            Operation::SUCCESS);
  EXPECT_TRUE(agent_.host->Domains().empty());
  EXPECT_EQ(agent_.Find(kId), nullptr);
  EXPECT_TRUE(ReadFile(disk, 100).ok());
}

}  // namespace
}  // namespace cvm::agent::core
