// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/agent/crash_matrix.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using v1::Operation;

class CrashMatrixResizeTest : public CrashMatrixTest {
 protected:
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
};

TEST_F(CrashMatrixResizeTest, ResizeOnline) {
  ForEverySite([&] { MakeGrowable(); },
               [&](const std::string& id) { return ResizeOnline(id, 3, 512); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectSize(3, 256, 256);
               },
               14);
}

TEST_F(CrashMatrixResizeTest, ResizeOnlineByBalloon) {
  ForEverySite([&] { MakeGrowable(); },
               [&](const std::string& id) { return ResizeOnline(id, 0, 192); },
               [&](const Operation& operation) {
                 EXPECT_EQ(operation.state(), Operation::SUCCESS);
                 ExpectSize(1, 0, 192);
               },
               10);
}

TEST_F(CrashMatrixResizeTest, ResizeOnlineThatFailsAtItsEndAndIsUndone) {
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

TEST_F(CrashMatrixResizeTest, ResizeOnlineOfAGuestThatDoesNothing) {
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

}  // namespace
}  // namespace cvm::agent::core
