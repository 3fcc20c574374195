// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_table.h"

#include <atomic>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::agent::core {
namespace {

v1::Instance Make(const std::string& id, const std::string& name = "") {
  v1::Instance instance;
  instance.set_id(id);
  instance.set_uuid("uuid-" + id);
  instance.mutable_spec()->set_name(name);
  return instance;
}

TEST(InstanceTable, FindsByIdAndUuidAndListsInOrder) {
  InstanceTable table;
  for (const char* id : {"c", "a", "b"}) table.Put(Make(id));
  EXPECT_EQ(table.Find("b")->id(), "b");
  EXPECT_EQ(table.FindByUuid("uuid-b")->id(), "b");
  const auto page = table.List("a", 1);
  ASSERT_EQ(page.size(), 1u);
  EXPECT_EQ(page[0].instance->id(), "b");
  EXPECT_EQ(*page[0].bytes, page[0].instance->SerializeAsString());
  EXPECT_EQ(table.List("c", 5).size(), 0u);
  table.Erase("b");
  table.Erase("none");
  EXPECT_EQ(table.Find("b"), nullptr);
  EXPECT_EQ(table.FindByUuid("uuid-b"), nullptr);
  EXPECT_EQ(table.All().size(), 2u);
}

TEST(InstanceTable, DerivesTheStateAndDropsSecrets) {
  InstanceTable table;
  v1::Instance instance = Make("a");
  instance.mutable_observed_power()->set_state(v1::ObservedPower::RUNNING);
  instance.mutable_spec()->mutable_login()->set_password_hash("$6$secret");
  instance.mutable_spec()->set_user_data("secret");
  table.Put(instance);
  EXPECT_EQ(table.Find("a")->state(), v1::RUNNING);
  EXPECT_EQ(table.Find("a")->DebugString().find("secret"), std::string::npos);
}

TEST(InstanceTable, TellsTheChangesAfterASnapshot) {
  InstanceTable table;
  table.Put(Make("a", "1"));
  const InstanceTable::Snapshot snapshot = table.TakeSnapshot();
  ASSERT_EQ(snapshot.instances.size(), 1u);
  EXPECT_TRUE(table.ChangesAfter(snapshot.sequence)->empty());
  table.Put(Make("b"));
  table.Put(Make("a", "2"));
  table.Erase("b");
  const auto changes = table.ChangesAfter(snapshot.sequence);
  ASSERT_TRUE(changes.has_value());
  ASSERT_EQ(changes->size(), 3u);
  EXPECT_EQ((*changes)[0].id, "b");
  EXPECT_EQ((*changes)[1].instance->spec().name(), "2");
  EXPECT_EQ((*changes)[2].id, "b");
  EXPECT_EQ((*changes)[2].instance, nullptr);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ((*changes)[i].sequence, snapshot.sequence + i + 1);
}

TEST(InstanceTable, SaysWhenTheChangesAreNoLongerAllKept) {
  InstanceTable table;
  const int kMany = 3000;
  for (int i = 1; i <= kMany; ++i) table.Put(Make("a", std::to_string(i)));
  EXPECT_FALSE(table.ChangesAfter(0).has_value());
  EXPECT_FALSE(table.ChangesAfter(kMany - 1024).has_value());
  const auto kept = table.ChangesAfter(kMany - 1023);
  ASSERT_TRUE(kept.has_value());
  ASSERT_EQ(kept->size(), 1023u);
  EXPECT_EQ(kept->front().instance->spec().name(), std::to_string(kMany - 1022));
  EXPECT_EQ(kept->back().instance->spec().name(), std::to_string(kMany));
  // A sequence that has not been reached is of another run of the agent.
  EXPECT_FALSE(table.ChangesAfter(kMany + 1).has_value());
  EXPECT_TRUE(table.ChangesAfter(kMany)->empty());
}

TEST(InstanceTable, NotifiesOutsideItsLockUntilTheSubscriptionIsDropped) {
  InstanceTable table;
  int calls = 0;
  auto subscription = table.Subscribe([&] {
    // Looking at the table from here must not deadlock.
    calls += table.All().empty() ? 0 : 1;
  });
  table.Put(Make("a"));
  EXPECT_EQ(calls, 1);
  table.Put(Make("b"));
  table.Erase("b");
  EXPECT_EQ(calls, 3);
  subscription = nullptr;
  table.Put(Make("c"));
  EXPECT_EQ(calls, 3);
}

TEST(InstanceTable, NeverCallsADroppedSubscriberWhileAnotherThreadNotifies) {
  InstanceTable table;
  std::atomic<bool> stop = false;
  std::jthread changes([&] {
    for (int i = 0; !stop; ++i) table.Put(Make("a", std::to_string(i)));
  });
  int64_t calls = 0;
  for (int i = 0; i < 300; ++i) {
    auto alive = std::make_unique<std::atomic<bool>>(true);
    std::atomic<int> called = 0;
    auto subscription = table.Subscribe([flag = alive.get(), &called] {
      // Use after free, for the sanitizers and for this check, when a call came too late.
      EXPECT_TRUE(flag->load());
      ++called;
    });
    while (called == 0) std::this_thread::yield();
    subscription = nullptr;
    alive->store(false);
    alive = nullptr;
    calls += called;
  }
  stop = true;
  EXPECT_GE(calls, 300);
}

}  // namespace
}  // namespace cvm::agent::core
