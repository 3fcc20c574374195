// SPDX-License-Identifier: Apache-2.0
//
// A lost store, or one lost record, comes back from the domains' metadata.
#include <algorithm>
#include <filesystem>

#include "agent/core/domain_builder.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainSpec;
using hypervisor::PowerState;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
constexpr char kOther[] = "ins-00000002";

// What a rebuilt instance must have in common with the one that was lost.
std::string Kept(v1::Instance instance) {
  instance.clear_state();
  instance.clear_observed_power();
  instance.clear_latest_operation();
  instance.mutable_recycle()->clear_elapsed();
  return instance.DebugString();
}

class RebuildTest : public ::testing::Test {
 protected:
  RebuildTest() { agent_.ImportBase(); }

  void Create(const std::string& id) {
    v1::CreateInstanceRequest request = agent_.BigCreateRequest(id);
    request.set_owner("owner of " + id);
    request.mutable_spec()->mutable_login()->add_ssh_public_keys(
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6YSEp6vIHTcLzOyv5HGxPgRzHmRZ5nGrCQNnGjkIbD me");
    (*request.mutable_spec()->mutable_tags())["key"] = "value";
    ASSERT_EQ(agent_.Run(agent_.instances().Create(agent_.caller, request)).state(),
              Operation::SUCCESS);
    agent_.Settle();
  }

  // As if the file had been lost.
  void LoseStore() {
    agent_.Crash();
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(agent_.paths().Database() + suffix);
    }
    agent_.Restart();
    ASSERT_TRUE(agent_.ledger().instances().All().empty());
  }

  void Pass() {
    const absl::Status passed = agent_.reconciler().Pass();
    ASSERT_TRUE(passed.ok()) << passed;
    agent_.Settle();
  }

  AgentHarness agent_;
};

TEST_F(RebuildTest, ALostStoreComesBackFromTheDomains) {
  Create(kId);
  agent_.MakeInstance(kOther, /*start=*/false);
  const v1::Instance first = *agent_.Find(kId);
  const v1::Instance second = *agent_.Find(kOther);
  LoseStore();
  Pass();
  ASSERT_NE(agent_.Find(kId), nullptr);
  ASSERT_NE(agent_.Find(kOther), nullptr);
  EXPECT_EQ(Kept(*agent_.Find(kId)), Kept(first));
  EXPECT_EQ(Kept(*agent_.Find(kOther)), Kept(second));
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  EXPECT_EQ(agent_.StateOf(kOther), v1::STOPPED);
  const auto image = agent_.images().Get("img-base0000");
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->state(), v1::Image::READY);
  EXPECT_EQ(image->virtual_size_bytes(), uint64_t{4} << 20);
  EXPECT_EQ(image->instance_count(), 2u);
  EXPECT_EQ(agent_.host->Boots(first.uuid()), 1);
  agent_.ExpectNothingLeftOver();
  // It is in the store, not only shown.
  agent_.Restart();
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  // And works: addresses are taken, a new one can be made, the old one deleted.
  Create("ins-00000003");
  EXPECT_NE(agent_.Find("ins-00000003")->spec().nics(0).ipv4_address(),
            first.spec().nics(0).ipv4_address());
  v1::DeleteInstanceRequest request;
  request.set_instance_id(kId);
  EXPECT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, request)).state(),
            Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
}

TEST_F(RebuildTest, NothingNewIsMadeBeforeTheDomainsAreBack) {
  Create(kId);
  LoseStore();
  agent_.power().SetReady(false);
  EXPECT_EQ(
      ReasonOf(
          agent_.instances().Create(agent_.caller, agent_.CreateRequest("ins-00000003")).status()),
      ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  Pass();
  EXPECT_TRUE(agent_.power().ready());
  Create("ins-00000003");
}

TEST_F(RebuildTest, OneLostRecordComesBackAlone) {
  Create(kId);
  Create(kOther);
  const v1::Instance before = *agent_.Find(kId);
  LedgerChange loss;
  loss.erase_instances.emplace_back(kId);
  ASSERT_TRUE(agent_.ledger().Commit(loss).ok());
  Pass();
  ASSERT_NE(agent_.Find(kId), nullptr);
  EXPECT_EQ(Kept(*agent_.Find(kId)), Kept(before));
  agent_.ExpectNothingLeftOver();
}

TEST_F(RebuildTest, ARecyclePeriodComesBackToo) {
  Create(kId);
  v1::DeleteInstanceRequest request;
  request.set_instance_id(kId);
  *request.mutable_recycle_period() = ToProtoDuration(absl::Hours(3));
  ASSERT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, request)).state(),
            Operation::SUCCESS);
  const v1::Instance before = *agent_.Find(kId);
  LoseStore();
  Pass();
  ASSERT_NE(agent_.Find(kId), nullptr);
  EXPECT_EQ(Kept(*agent_.Find(kId)), Kept(before));
  EXPECT_EQ(agent_.StateOf(kId), v1::SHUTDOWN);
  v1::RestoreInstanceRequest restore;
  restore.set_instance_id(kId);
  ASSERT_EQ(agent_.Run(agent_.instances().Restore(agent_.caller, restore)).state(),
            Operation::SUCCESS);
  LoseStore();
  Pass();
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
}

TEST_F(RebuildTest, AnAdoptedInstanceComesBackAdopted) {
  DomainSpec spec;
  spec.name = "by hand";
  spec.uuid = "11111111-2222-4333-8444-555555555555";
  spec.memory_mib = 64;
  spec.disks.push_back({.id = "a", .path = "/somewhere/a.qcow2"});
  agent_.host->AddForeignDomain(spec, PowerState::kRunning, true);
  v1::AdoptInstanceRequest request;
  request.set_uuid(spec.uuid);
  request.set_instance_id(kId);
  ASSERT_EQ(agent_.Run(agent_.instances().Adopt(agent_.caller, request)).state(),
            Operation::SUCCESS);
  const v1::Instance before = *agent_.Find(kId);
  LoseStore();
  Pass();
  ASSERT_NE(agent_.Find(kId), nullptr);
  EXPECT_EQ(Kept(*agent_.Find(kId)), Kept(before));
  EXPECT_TRUE(agent_.Find(kId)->adopted());
}

TEST_F(RebuildTest, ACopyOfADomainIsForeign) {
  Create(kId);
  DomainSpec copy = *agent_.host->FindSpec(agent_.UuidOf(kId));
  copy.name = "copy";
  copy.uuid = "99999999-2222-4333-8444-555555555555";
  agent_.host->AddForeignDomain(copy, PowerState::kStopped, true);
  Pass();
  EXPECT_EQ(agent_.ledger().instances().All().size(), 1u);
  // Also when the original's record is lost as well: its UUID is not the element's.
  LoseStore();
  Pass();
  ASSERT_EQ(agent_.ledger().instances().All().size(), 1u);
  EXPECT_NE(agent_.Find(kId)->uuid(), copy.uuid);
}

TEST_F(RebuildTest, AnElementThatIsNotAnAgentsIsLeftAlone) {
  for (const char* text :
       {"{}", "not json", R"({"id":"../../etc","uuid":"u"})",
        R"({"id":"ins-00000009","uuid":"UUID","spec":{"systemDisk":{"id":"../x"}}})"}) {
    SCOPED_TRACE(text);
    DomainSpec spec;
    spec.name = "strange";
    spec.uuid = "11111111-2222-4333-8444-555555555555";
    spec.metadata = text;
    const size_t at = spec.metadata.find("UUID");
    if (at != std::string::npos) spec.metadata.replace(at, 4, spec.uuid);
    agent_.host->AddForeignDomain(spec, PowerState::kStopped, true);
    Pass();
    EXPECT_TRUE(agent_.ledger().instances().All().empty());
  }
}

TEST_F(RebuildTest, ADeletionLeavesNothingToRebuildAtAnyInstant) {
  Create(kId);
  v1::DeleteInstanceRequest request;
  request.set_instance_id(kId);
  const auto submitted = agent_.instances().Delete(agent_.caller, request);
  ASSERT_TRUE(submitted.ok());
  while (agent_.engine().Get(submitted->id())->state() == Operation::OPERATING) Pass();
  Pass();
  EXPECT_EQ(agent_.Find(kId), nullptr);
  agent_.ExpectNothingLeftOver();
}

TEST(Metadata, KeepsWhatIsAddedToAnInstanceLaterAndNoSecret) {
  v1::Instance instance;
  instance.set_id(kId);
  instance.set_uuid("u");
  instance.mutable_spec()->mutable_system_disk()->set_id("disk-00000001");
  instance.mutable_spec()->mutable_login()->set_password_hash("$6$hash");
  instance.mutable_spec()->set_user_data("secret");
  instance.set_config_drive_generation(7);
  instance.set_adopted(true);
  instance.set_domain_name("name");
  instance.set_etag("etag");
  instance.set_wanted_power(v1::WANTED_POWER_ON);
  instance.mutable_observed_power()->set_state(v1::ObservedPower::RUNNING);
  instance.mutable_latest_operation()->set_id("op");
  const std::string metadata = MetadataOf(instance);
  EXPECT_EQ(metadata.find("hash"), std::string::npos);
  EXPECT_EQ(metadata.find("secret"), std::string::npos);
  const auto parsed = InstanceOf(metadata);
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  v1::Instance expected = instance;
  expected.mutable_spec()->mutable_login()->clear_password_hash();
  expected.mutable_spec()->clear_user_data();
  expected.clear_etag();
  expected.clear_wanted_power();
  expected.clear_observed_power();
  expected.clear_latest_operation();
  EXPECT_EQ(parsed->DebugString(), expected.DebugString());
  // Every field that is set now or later is either kept or one of those that are cleared.
  EXPECT_TRUE(InstanceOf(R"({"id":"ins-00000001","uuid":"u","spec":{"systemDisk":)"
                         R"({"id":"disk-00000001"}},"ofANewerAgent":1})")
                  .ok());
}

}  // namespace
}  // namespace cvm::agent::core
