// SPDX-License-Identifier: Apache-2.0
#include "agent/store/store.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "common/clock.h"
#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm::agent {
namespace {

using store::OperationRecord;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using v1::Operation;

v1::Instance MakeInstance(const std::string& id) {
  v1::Instance instance;
  instance.set_id(id);
  instance.set_uuid("uuid-of-" + id);
  instance.mutable_spec()->set_vcpus(3);
  (*instance.mutable_spec()->mutable_tags())["key"] = "välue";
  return instance;
}

v1::Image MakeImage(const std::string& id) {
  v1::Image image;
  image.set_id(id);
  image.set_sha256("abc");
  return image;
}

OperationRecord MakeOperation(const std::string& id, const std::string& target, int64_t created,
                              bool ended) {
  OperationRecord record;
  Operation& operation = *record.mutable_operation();
  operation.set_id(id);
  operation.set_target_id(target);
  operation.set_state(ended ? Operation::SUCCESS : Operation::OPERATING);
  *operation.mutable_create_time() = ToTimestamp(absl::FromUnixSeconds(created));
  if (ended) *operation.mutable_end_time() = ToTimestamp(absl::FromUnixSeconds(created + 1));
  record.set_steps_started(2);
  (*record.mutable_notes())["deadline"] = "12";
  return record;
}

std::vector<std::string> Ids(const absl::StatusOr<std::vector<Operation>>& operations) {
  std::vector<std::string> ids;
  EXPECT_TRUE(operations.ok()) << operations.status();
  if (operations.ok()) {
    for (const Operation& operation : *operations) ids.push_back(operation.id());
  }
  return ids;
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { Open(); }

  void Open() {
    store_ = nullptr;
    auto opened = Store::Open(path_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store_ = *std::move(opened);
  }

  void Put(const std::vector<OperationRecord>& records) {
    StoreChange change;
    change.put_operations = records;
    ASSERT_TRUE(store_->Apply(change).ok());
  }

  // Runs SQL as somebody else would.
  void Meddle(const std::string& sql) {
    auto db = Sqlite::Open(path_);
    ASSERT_TRUE(db.ok());
    ASSERT_TRUE((*db)->Execute(sql).ok());
  }

  // Whether any of the store's files holds the text.
  bool FilesHold(const std::string& text) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      std::ifstream file(entry.path(), std::ios::binary);
      std::stringstream content;
      content << file.rdbuf();
      if (content.str().find(text) != std::string::npos) return true;
    }
    return false;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.File("state.db");
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, KeepsInstancesAndImagesAcrossReopening) {
  StoreChange change;
  change.put_instances = {MakeInstance("ins-2"), MakeInstance("ins-1")};
  change.put_images = {MakeImage("img-1")};
  ASSERT_TRUE(store_->Apply(change).ok());
  Open();
  const auto instances = store_->LoadInstances();
  ASSERT_TRUE(instances.ok());
  ASSERT_EQ(instances->size(), 2u);
  EXPECT_EQ((*instances)[0].DebugString(), MakeInstance("ins-1").DebugString());
  const auto images = store_->LoadImages();
  ASSERT_TRUE(images.ok());
  ASSERT_EQ(images->size(), 1u);
  EXPECT_EQ((*images)[0].sha256(), "abc");

  StoreChange removal;
  removal.delete_instances = {"ins-2"};
  removal.delete_images = {"img-1"};
  ASSERT_TRUE(store_->Apply(removal).ok());
  Open();
  EXPECT_EQ(store_->LoadInstances()->size(), 1u);
  EXPECT_TRUE(store_->LoadImages()->empty());
}

TEST_F(StoreTest, KeepsSecretsThroughAnUpdateAndDropsThemWithTheInstance) {
  StoreChange change;
  change.put_instances = {MakeInstance("ins-1")};
  change.put_secrets = {{"ins-1", {.password_hash = "$6$the-hash", .user_data = ""}}};
  change.put_secrets[0].second.user_data = std::string("bytes\0\xff", 7);
  ASSERT_TRUE(store_->Apply(change).ok());

  StoreChange update;
  update.put_instances = {MakeInstance("ins-1")};
  ASSERT_TRUE(store_->Apply(update).ok());
  auto secrets = store_->LoadSecrets("ins-1");
  ASSERT_TRUE(secrets.ok());
  EXPECT_EQ(secrets->password_hash, "$6$the-hash");
  EXPECT_EQ(secrets->user_data, std::string("bytes\0\xff", 7));
  EXPECT_TRUE(FilesHold("$6$the-hash"));

  StoreChange removal;
  removal.delete_instances = {"ins-1"};
  ASSERT_TRUE(store_->Apply(removal).ok());
  secrets = store_->LoadSecrets("ins-1");
  ASSERT_TRUE(secrets.ok());
  EXPECT_EQ(secrets->password_hash, "");
  EXPECT_EQ(secrets->user_data, "");
  // Neither in the database nor in its log.
  EXPECT_FALSE(FilesHold("$6$the-hash"));
}

TEST_F(StoreTest, LeavesNoTraceOfEmptiedSecrets) {
  StoreChange change;
  change.put_instances = {MakeInstance("ins-1")};
  change.put_secrets = {{"ins-1", {.password_hash = "$6$the-hash", .user_data = ""}}};
  ASSERT_TRUE(store_->Apply(change).ok());
  StoreChange emptied;
  emptied.put_secrets = {{"ins-1", InstanceSecrets{}}};
  ASSERT_TRUE(store_->Apply(emptied).ok());
  EXPECT_FALSE(FilesHold("$6$the-hash"));
}

TEST_F(StoreTest, RefusesSecretsOfNoInstanceAndThenWritesNothing) {
  StoreChange change;
  change.put_images = {MakeImage("img-1")};
  change.put_secrets = {{"ins-none", {.password_hash = "x", .user_data = ""}}};
  EXPECT_FALSE(store_->Apply(change).ok());
  EXPECT_TRUE(store_->LoadImages()->empty());
}

TEST_F(StoreTest, TakesARequestIdOncePerScopeAndAllOrNothing) {
  StoreChange change;
  change.put_operations = {MakeOperation("op-1", "ins-1", 10, false)};
  change.put_request = RequestRow{.scope = "alice",
                                  .request_id = "r1",
                                  .digest = std::string("\0\x01", 2),
                                  .operation_id = "op-1"};
  ASSERT_TRUE(store_->Apply(change).ok());

  change.put_operations = {MakeOperation("op-2", "ins-1", 11, false)};
  EXPECT_FALSE(store_->Apply(change).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->LoadOperation("op-2").status()));

  change.put_request->scope = "bob";
  ASSERT_TRUE(store_->Apply(change).ok());
  const auto found = store_->FindRequest("alice", "r1");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ((*found)->operation_id, "op-1");
  EXPECT_EQ((*found)->digest, std::string("\0\x01", 2));
  EXPECT_FALSE(store_->FindRequest("alice", "r2")->has_value());
}

TEST_F(StoreTest, LoadsUnfinishedOperationsOldestFirst) {
  Put({MakeOperation("op-3", "a", 30, false), MakeOperation("op-1", "a", 10, false),
       MakeOperation("op-2", "a", 20, true)});
  Open();
  const auto records = store_->LoadUnfinishedOperations();
  ASSERT_TRUE(records.ok());
  ASSERT_EQ(records->size(), 2u);
  EXPECT_EQ((*records)[0].DebugString(), MakeOperation("op-1", "a", 10, false).DebugString());
  EXPECT_EQ((*records)[1].operation().id(), "op-3");

  Put({MakeOperation("op-1", "a", 10, true)});
  EXPECT_EQ(store_->LoadUnfinishedOperations()->size(), 1u);
}

TEST_F(StoreTest, ListsOperationsNewestFirstInPages) {
  // Two at the same instant: the id decides, and a page may end between them.
  Put({MakeOperation("op-a", "x", 10, true), MakeOperation("op-b", "y", 20, false),
       MakeOperation("op-c", "x", 20, false), MakeOperation("op-d", "x", 30, true)});
  EXPECT_THAT(Ids(store_->ListOperations({})), ElementsAre("op-d", "op-c", "op-b", "op-a"));
  OperationFilter page{
      .target_id = "", .unfinished_only = false, .after = std::nullopt, .limit = 2};
  EXPECT_THAT(Ids(store_->ListOperations(page)), ElementsAre("op-d", "op-c"));
  page.after = {absl::ToUnixNanos(absl::FromUnixSeconds(20)), "op-c"};
  EXPECT_THAT(Ids(store_->ListOperations(page)), ElementsAre("op-b", "op-a"));

  OperationFilter of_x;
  of_x.target_id = "x";
  EXPECT_THAT(Ids(store_->ListOperations(of_x)), ElementsAre("op-d", "op-c", "op-a"));
  of_x.unfinished_only = true;
  EXPECT_THAT(Ids(store_->ListOperations(of_x)), ElementsAre("op-c"));
  of_x.after = page.after;
  EXPECT_THAT(Ids(store_->ListOperations(of_x)), ElementsAre());
}

TEST_F(StoreTest, ForgetsOldEndedOperationsOfGoneTargetsButNotTheirRequestIds) {
  StoreChange change;
  change.put_instances = {MakeInstance("ins-1")};
  change.put_images = {MakeImage("img-1")};
  change.put_operations = {
      MakeOperation("op-of-instance", "ins-1", 10, true),
      MakeOperation("op-of-image", "img-1", 10, true), MakeOperation("op-old", "gone", 10, true),
      MakeOperation("op-running", "gone", 10, false), MakeOperation("op-young", "gone", 99, true)};
  change.put_request =
      RequestRow{.scope = "s", .request_id = "r", .digest = "d", .operation_id = "op-old"};
  ASSERT_TRUE(store_->Apply(change).ok());
  ASSERT_TRUE(store_->ForgetOperations(absl::FromUnixSeconds(50)).ok());
  EXPECT_THAT(Ids(store_->ListOperations({})),
              ElementsAre("op-young", "op-running", "op-of-instance", "op-of-image"));
  EXPECT_TRUE(store_->FindRequest("s", "r")->has_value());
}

TEST_F(StoreTest, RefusesASchemaThatIsTooNewAndLeavesItAlone) {
  store_ = nullptr;
  Meddle("PRAGMA user_version = 99");
  const auto opened = Store::Open(path_);
  EXPECT_EQ(opened.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(opened.status().message()), HasSubstr("99"));
  Meddle("PRAGMA user_version = 3");
  EXPECT_TRUE(Store::Open(path_).ok());
}

TEST_F(StoreTest, BringsAnOlderSchemaUpToDateAfterABackup) {
  StoreChange change;
  change.put_instances = {MakeInstance("ins-1")};
  ASSERT_TRUE(store_->Apply(change).ok());
  store_ = nullptr;
  // As the first version was.
  Meddle(
      "DROP TABLE volumes; DROP TABLE host_settings; DROP TABLE operation_secrets; "
      "PRAGMA user_version = 1");
  auto opened = Store::Open(path_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->LoadInstances()->size(), 1u);
  EXPECT_TRUE((*opened)->LoadOperationSecrets("op-1")->empty());
  EXPECT_TRUE(std::filesystem::exists(path_ + ".backup-1"));
}

TEST_F(StoreTest, KeepsTheSecretsOfAnOperationUntilItEnds) {
  StoreChange change;
  store::OperationRecord record = MakeOperation("op-1", "ins-1", 10, false);
  record.set_had_secrets(true);
  change.put_operations = {record};
  change.put_operation_secrets = {"op-1", {.password_hash = "the-hash", .user_data = "the-data"}};
  ASSERT_TRUE(store_->Apply(change).ok());
  // A step that ends, for one.
  change.put_operation_secrets.reset();
  ASSERT_TRUE(store_->Apply(change).ok());
  EXPECT_EQ(store_->LoadOperationSecrets("op-1")->password_hash, "the-hash");
  EXPECT_EQ(store_->LoadOperationSecrets("op-1")->user_data, "the-data");

  record = MakeOperation("op-1", "ins-1", 10, true);
  record.set_had_secrets(true);
  change.put_operations = {record};
  ASSERT_TRUE(store_->Apply(change).ok());
  EXPECT_TRUE(store_->LoadOperationSecrets("op-1")->empty());
  EXPECT_FALSE(FilesHold("the-hash"));
}

TEST_F(StoreTest, BringsTheSecondSchemaUpToDateAfterABackup) {
  StoreChange change;
  change.put_instances = {MakeInstance("ins-1")};
  ASSERT_TRUE(store_->Apply(change).ok());
  store_ = nullptr;
  Meddle("DROP TABLE volumes; DROP TABLE host_settings; PRAGMA user_version = 2");
  auto opened = Store::Open(path_);
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ((*opened)->LoadInstances()->size(), 1u);
  EXPECT_TRUE((*opened)->LoadVolumes()->empty());
  EXPECT_EQ((*opened)->LoadSettings()->size(), 1u);
  EXPECT_TRUE(std::filesystem::exists(path_ + ".backup-2"));
}

TEST_F(StoreTest, KnowsWhenItWasMade) {
  int64_t made = 0;
  ASSERT_TRUE(absl::SimpleAtoi(store_->LoadSettings()->at("store-made"), &made));
  const int64_t now = absl::ToUnixSeconds(absl::Now());
  EXPECT_LE(made, now);
  EXPECT_GT(made, now - 600);
  store_ = nullptr;
  store_ = *Store::Open(path_);
  EXPECT_EQ(store_->LoadSettings()->at("store-made"), std::to_string(made));
}

TEST_F(StoreTest, KeepsVolumesAndSettings) {
  StoreChange change;
  v1::Volume volume;
  volume.set_id("disk-1");
  volume.set_size_bytes(7);
  change.put_volumes = {volume};
  change.put_settings = {{"a", std::string("1\0", 2)}, {"b", "2"}};
  ASSERT_TRUE(store_->Apply(change).ok());
  store_ = nullptr;
  store_ = *Store::Open(path_);
  ASSERT_EQ(store_->LoadVolumes()->size(), 1u);
  EXPECT_EQ(store_->LoadVolumes()->front().size_bytes(), 7u);
  EXPECT_EQ(store_->LoadSettings()->at("a"), std::string("1\0", 2));
  change = {};
  change.delete_volumes = {"disk-1"};
  change.put_settings = {{"a", ""}, {"b", "3"}};
  ASSERT_TRUE(store_->Apply(change).ok());
  EXPECT_TRUE(store_->LoadVolumes()->empty());
  EXPECT_FALSE(store_->LoadSettings()->contains("a"));
  EXPECT_EQ(store_->LoadSettings()->at("b"), "3");
}

TEST_F(StoreTest, MakesNoBackupOfANewStore) {
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
    EXPECT_EQ(entry.path().string().find("backup"), std::string::npos) << entry.path();
  }
}

TEST_F(StoreTest, ReportsADamagedRow) {
  StoreChange change;
  change.put_instances = {MakeInstance("ins-1")};
  change.put_operations = {MakeOperation("op-1", "ins-1", 10, false)};
  ASSERT_TRUE(store_->Apply(change).ok());
  Meddle("UPDATE instances SET data = x'ffffffff'; UPDATE operations SET data = x'0aff'");
  EXPECT_EQ(ReasonOf(store_->LoadInstances().status()), ErrorReason::ERROR_REASON_INTERNAL);
  EXPECT_EQ(ReasonOf(store_->LoadUnfinishedOperations().status()),
            ErrorReason::ERROR_REASON_INTERNAL);
  EXPECT_EQ(ReasonOf(store_->LoadOperation("op-1").status()), ErrorReason::ERROR_REASON_INTERNAL);
}

TEST_F(StoreTest, IsUnavailableWhileSomebodyElseHoldsTheDatabaseAndWorksAfterwards) {
  auto other = Sqlite::Open(path_);
  ASSERT_TRUE(other.ok());
  StoreChange change;
  change.put_images = {MakeImage("img-1")};
  {
    auto held = SqliteTransaction::Begin(**other);
    ASSERT_TRUE(held.ok());
    EXPECT_EQ(ReasonOf(store_->Apply(change)), ErrorReason::ERROR_REASON_STORE_UNAVAILABLE);
    EXPECT_TRUE(store_->LoadImages()->empty());
  }
  EXPECT_TRUE(store_->Apply(change).ok());
}

TEST_F(StoreTest, TakesChangesFromManyThreads) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (int i = 0; i < 10; ++i) {
        Put({MakeOperation("op-" + std::to_string(t) + "-" + std::to_string(i), "x", i, false)});
      }
    });
  }
  threads.clear();
  EXPECT_EQ(store_->LoadUnfinishedOperations()->size(), 40u);
}

}  // namespace
}  // namespace cvm::agent
