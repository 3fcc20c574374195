// SPDX-License-Identifier: Apache-2.0
//
// What GetHost shows of the host's capacity, and that it is what a new guest can get.
#include "agent/core/host_capacity.h"

#include <thread>

#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using v1::Operation;

constexpr uint64_t kMib = uint64_t{1} << 20;

class CapacityTest : public ::testing::Test {
 protected:
  CapacityTest()
      : agent_([](Config& config) {
          config.limits.cpu_overcommit = 2.5;
          config.limits.memory_reserve_mib = 1000;
          config.limits.disk_reserve_mib = 2000;
          config.limits.disk_overcommit = 1.5;
        }) {
    agent_.ImportBase();
  }
  v1::Host::Capacity Shown() { return *GetCapacity(agent_.core()); }

  AgentHarness agent_;
};

TEST_F(CapacityTest, ShowsRatioTotalReserveAllocatedAndAvailable) {
  const uint32_t cpus = agent_.core().hypervisor.GetHostInfo()->cpus;
  const uint64_t memory = agent_.core().hypervisor.GetHostInfo()->memory_mib;
  agent_.MakeInstance("ins-00000001");
  agent_.MakeInstance("ins-00000002", false);
  const v1::Host::Capacity shown = Shown();
  EXPECT_EQ(shown.cpus(), cpus);
  EXPECT_EQ(shown.cpu_overcommit(), 2.5);
  EXPECT_EQ(shown.vcpus_total(), static_cast<uint32_t>(cpus * 2.5));
  EXPECT_EQ(shown.vcpus_allocated(), 1u);
  EXPECT_EQ(shown.vcpus_available(), shown.vcpus_total() - 1);
  EXPECT_EQ(shown.memory_total_mib(), memory);
  EXPECT_EQ(shown.memory_reserved_mib(), 1000u);
  EXPECT_EQ(shown.memory_allocated_mib(), 128u);
  EXPECT_EQ(shown.memory_available_mib(), memory - 1000 - 128);
  EXPECT_EQ(shown.disk_overcommit(), 1.5);
  EXPECT_EQ(shown.disk_total_bytes(), agent_.disk_space.total_bytes / 2 * 3);
  EXPECT_EQ(shown.disk_reserved_bytes(), 2000 * kMib);
  EXPECT_EQ(shown.disk_allocated_bytes(), 2048 * kMib) << "also of the one that is off";
  EXPECT_EQ(shown.disk_available_bytes(), shown.disk_total_bytes() - 2000 * kMib - 2048 * kMib);
}

TEST_F(CapacityTest, NothingIsAvailableOnAFullDisk) {
  agent_.disk_space.free_bytes = 2000 * kMib;
  EXPECT_EQ(Shown().disk_available_bytes(), 0u);
  EXPECT_EQ(
      ReasonOf(
          agent_.instances().Create(agent_.caller, agent_.CreateRequest("ins-00000001")).status()),
      ErrorReason::ERROR_REASON_INSUFFICIENT_DISK);
}

TEST_F(CapacityTest, CountsWhatMayStillBeOn) {
  agent_.MakeInstance("ins-00000001");
  const std::string uuid = agent_.UuidOf("ins-00000001");
  LedgerChange off;
  off.UpdateInstance("ins-00000001", [](v1::Instance& instance) {
    instance.set_wanted_power(v1::WANTED_POWER_OFF);
  });
  ASSERT_TRUE(agent_.ledger().Commit(off).ok());
  EXPECT_EQ(Shown().vcpus_allocated(), 1u);
  ASSERT_TRUE(agent_.host->GuestPauses(uuid, "user").ok());
  agent_.Settle();
  ASSERT_EQ(agent_.StateOf("ins-00000001"), v1::PAUSED);
  EXPECT_EQ(Shown().memory_allocated_mib(), 128u) << "a paused guest holds its memory";
  agent_.host->Disconnect();
  agent_.Settle();
  ASSERT_EQ(agent_.StateOf("ins-00000001"), v1::UNKNOWN);
  EXPECT_EQ(Shown().memory_allocated_mib(), 128u) << "unknown is not off";
  agent_.host->Reconnect();
  ASSERT_TRUE(agent_.host->GuestIsKilled(uuid).ok());
  agent_.Settle();
  EXPECT_EQ(Shown().memory_allocated_mib(), 0u);
}

TEST_F(CapacityTest, ManyClientsAtOnceGetWhatIsAvailableAndNoMore) {
  const uint64_t each = 2500;
  const uint64_t room = Shown().memory_available_mib() / each;
  std::vector<absl::StatusOr<Operation>> answers(24, absl::UnknownError(""));
  {
    std::vector<std::jthread> threads;
    for (auto& answer : answers) {
      threads.emplace_back([&] {
        v1::CreateInstanceRequest request = agent_.CreateRequest("");
        request.mutable_spec()->set_memory_mib(each);
        answer = agent_.instances().Create(agent_.caller, request);
      });
    }
  }
  uint64_t taken = 0;
  for (const auto& answer : answers) {
    if (answer.ok()) {
      ++taken;
      EXPECT_EQ(agent_.WaitEnd(answer->id()).state(), Operation::SUCCESS);
    } else {
      EXPECT_EQ(ReasonOf(answer.status()), ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY);
    }
  }
  EXPECT_EQ(taken, room);
  EXPECT_LT(Shown().memory_available_mib(), each);
}

}  // namespace
}  // namespace cvm::agent::core
