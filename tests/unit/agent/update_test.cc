// SPDX-License-Identifier: Apache-2.0
//
// UpdateInstance: what the mask names changes, in the record and in the domain's metadata.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using ::testing::HasSubstr;
using ::testing::Not;
using v1::Operation;

constexpr char kId[] = "ins-00000001";

class UpdateTest : public ::testing::Test {
 protected:
  UpdateTest() {
    agent_.ImportBase();
    agent_.MakeInstance(kId);
  }

  static v1::UpdateInstanceRequest Request(const std::vector<std::string>& paths) {
    v1::UpdateInstanceRequest request;
    request.set_instance_id(kId);
    for (const std::string& path : paths) request.mutable_update_mask()->add_paths(path);
    return request;
  }

  Operation Update(const v1::UpdateInstanceRequest& request) {
    return agent_.Run(agent_.instances().Update(agent_.caller, request));
  }
  ErrorReason Refusal(const v1::UpdateInstanceRequest& request) {
    return ReasonOf(agent_.instances().Update(agent_.caller, request).status());
  }

  std::string Metadata() { return agent_.host->FindSpec(agent_.UuidOf(kId))->metadata; }

  AgentHarness agent_;
};

TEST_F(UpdateTest, ChangesWhatTheMaskNamesAndNothingElse) {
  auto request = Request({"owner", "spec.name", "spec.tags", "spec.termination_protection"});
  request.set_owner("alice");
  request.mutable_spec()->set_name("new <name>");
  (*request.mutable_spec()->mutable_tags())["a"] = "b";
  request.mutable_spec()->set_termination_protection(true);
  request.mutable_spec()->set_description("not in the mask");
  request.mutable_spec()->set_vcpus(64);
  const InstancePtr before = agent_.Find(kId);
  EXPECT_EQ(Update(request).state(), Operation::SUCCESS);

  const InstancePtr after = agent_.Find(kId);
  EXPECT_EQ(after->owner(), "alice");
  EXPECT_EQ(after->spec().name(), "new <name>");
  EXPECT_EQ(after->spec().tags().at("a"), "b");
  EXPECT_TRUE(after->spec().termination_protection());
  EXPECT_EQ(after->spec().description(), before->spec().description());
  EXPECT_EQ(after->spec().vcpus(), before->spec().vcpus());
  EXPECT_NE(after->etag(), before->etag());
  EXPECT_EQ(after->state(), v1::RUNNING);
  EXPECT_THAT(Metadata(), HasSubstr("alice"));
  EXPECT_EQ(agent_.host->FindSpec(agent_.UuidOf(kId))->title, "new <name>");

  agent_.Restart();
  EXPECT_EQ(agent_.Find(kId)->owner(), "alice");
  agent_.ExpectNothingLeftOver();
}

TEST_F(UpdateTest, EmptiesWhatTheMaskNamesWithoutAValue) {
  auto request = Request({"spec.description", "spec.tags", "spec.name"});
  request.mutable_spec()->set_description("old");
  (*request.mutable_spec()->mutable_tags())["a"] = "b";
  request.mutable_spec()->set_name("old");
  Update(request);
  request.clear_spec();
  EXPECT_EQ(Update(request).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->spec().description(), "");
  EXPECT_TRUE(agent_.Find(kId)->spec().tags().empty());
  // As at its creation.
  EXPECT_EQ(agent_.Find(kId)->spec().name(), kId);
}

TEST_F(UpdateTest, KeepsUserDataApartAndThePasswordWithIt) {
  LedgerChange change;
  change.put_secrets.emplace_back(kId, InstanceSecrets{.password_hash = "hash", .user_data = "#a"});
  ASSERT_TRUE(agent_.ledger().Commit(change).ok());
  auto request = Request({"spec.user_data"});
  request.mutable_spec()->set_user_data("#cloud-config\nsecret: 1\n");
  const Operation operation = Update(request);
  EXPECT_EQ(operation.state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.store().LoadSecrets(kId)->user_data, "#cloud-config\nsecret: 1\n");
  EXPECT_EQ(agent_.store().LoadSecrets(kId)->password_hash, "hash");
  EXPECT_TRUE(agent_.store().LoadOperationSecrets(operation.id())->empty());
  EXPECT_THAT(Metadata(), Not(HasSubstr("secret")));
  EXPECT_EQ(agent_.Find(kId)->spec().user_data(), "");
}

TEST_F(UpdateTest, AFailureLeavesRecordDefinitionAndSecretsAsTheyWere) {
  agent_.host->FailNext(FakeMethod::kDefineDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  auto request = Request({"owner", "spec.user_data"});
  request.set_owner("alice");
  request.mutable_spec()->set_user_data("#new");
  const InstancePtr before = agent_.Find(kId);
  const Operation operation = Update(request);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_EQ(agent_.Find(kId)->owner(), before->owner());
  EXPECT_EQ(agent_.Find(kId)->etag(), before->etag());
  EXPECT_THAT(Metadata(), Not(HasSubstr("alice")));
  EXPECT_EQ(agent_.store().LoadSecrets(kId)->user_data, "");
  EXPECT_TRUE(agent_.store().LoadOperationSecrets(operation.id())->empty());
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
}

TEST_F(UpdateTest, LiftsTheProtectionOfALaunchThatFailed) {
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  v1::CreateInstanceRequest create = agent_.CreateRequest("ins-00000002");
  create.mutable_spec()->set_termination_protection(true);
  agent_.Run(agent_.instances().Create(agent_.caller, create));
  ASSERT_EQ(agent_.StateOf("ins-00000002"), v1::LAUNCH_FAILED);
  auto request = Request({"spec.termination_protection"});
  request.set_instance_id("ins-00000002");
  EXPECT_EQ(Update(request).state(), Operation::SUCCESS);
  // It had no domain, and has none now.
  EXPECT_EQ(agent_.StateOf("ins-00000002"), v1::LAUNCH_FAILED);
  EXPECT_EQ(agent_.host->Domains().size(), 1u);
  v1::DeleteInstanceRequest deletion;
  deletion.set_instance_id("ins-00000002");
  EXPECT_EQ(agent_.Run(agent_.instances().Delete(agent_.caller, deletion)).state(),
            Operation::SUCCESS);
  agent_.ExpectNothingLeftOver();
}

TEST_F(UpdateTest, RefusesBadInput) {
  EXPECT_EQ(Refusal(Request({})), ErrorReason::ERROR_REASON_MISSING_FIELD);
  EXPECT_EQ(Refusal(Request({"spec.vcpus"})), ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(Refusal(Request({"owner", "spec"})), ErrorReason::ERROR_REASON_INVALID_FIELD);
  auto request = Request({"spec.name"});
  request.mutable_spec()->set_name("a\nb");
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INVALID_FIELD);
  request = Request({"spec.user_data"});
  request.mutable_spec()->set_user_data(std::string(16385, '#'));
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_USER_DATA_TOO_LARGE);
  request = Request({"owner"});
  request.set_etag("0");
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_ETAG_MISMATCH);
  request = Request({"owner"});
  request.set_instance_id("ins-none0000");
  EXPECT_EQ(Refusal(request), ErrorReason::ERROR_REASON_INSTANCE_NOT_FOUND);
}

}  // namespace
}  // namespace cvm::agent::core
