// SPDX-License-Identifier: Apache-2.0
//
// Guests that are grown and shrunk while they run.
#include "common/errors.h"
#include "gtest/gtest.h"
#include "tests/contract/hypervisor_contract.h"

namespace cvm::hypervisor {
namespace {

using Kind = HypervisorEvent::Kind;

class HypervisorContractSize : public HypervisorContract {
 protected:
  // 1 vCPU and 256 MiB, with room for 4 and 512.
  DomainSpec MakeGrowable(const std::string& name) {
    DomainSpec spec = harness_->MakeSpec(name);
    spec.max_vcpus = 4;
    spec.memory_mib = 256;
    spec.hotplug_memory_mib = 256;
    return spec;
  }

  DomainSize Size(const DomainSpec& spec) {
    const auto size = hypervisor_->GetDomainSize(spec.uuid);
    EXPECT_TRUE(size.ok()) << size.status();
    return size.value_or(DomainSize());
  }

  // Waits, by events, until the guest has this.
  bool WaitForSize(const DomainSpec& spec, uint64_t hotplug_mib, uint64_t balloon_mib) {
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < until) {
      const size_t seen = events_.size();
      const DomainSize size = Size(spec);
      if (size.hotplug_current_mib == hotplug_mib && size.balloon_mib == balloon_mib) return true;
      events_.WaitForKind(Kind::kDomainMemoryChanged, seen);
    }
    return false;
  }
};

TEST_F(HypervisorContractSize, AddsVcpusAndTakesNoneAway) {
  const DomainSpec spec = MakeGrowable("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  WaitBooted(spec);
  EXPECT_EQ(Size(spec).vcpus, 1u);
  ASSERT_EQ(hypervisor_->AddVcpus(spec.uuid, 3), absl::OkStatus());
  EXPECT_EQ(Size(spec).vcpus, 3u);
  EXPECT_EQ(hypervisor_->AddVcpus(spec.uuid, 3), absl::OkStatus()) << "twice";
  EXPECT_EQ(hypervisor_->AddVcpus(spec.uuid, 2), absl::OkStatus());
  EXPECT_EQ(Size(spec).vcpus, 3u);
  EXPECT_EQ(ReasonOf(hypervisor_->AddVcpus(spec.uuid, 5)),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_EQ(Size(spec).vcpus, 3u);
  harness_->InGuest(*hypervisor_, spec.uuid, "[ -d /sys/devices/system/cpu/cpu2 ]");
  EXPECT_EQ(Get(spec).state, PowerState::kRunning);
}

TEST_F(HypervisorContractSize, GivesMemoryAndTakesItBack) {
  const DomainSpec spec = MakeGrowable("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  WaitBooted(spec);
  EXPECT_EQ(Size(spec).hotplug_requested_mib, 0u);
  EXPECT_EQ(Size(spec).balloon_mib, 256u);
  ASSERT_EQ(hypervisor_->RequestHotplugMemory(spec.uuid, 132), absl::OkStatus());
  ASSERT_TRUE(WaitForSize(spec, 132, 256));
  EXPECT_EQ(Size(spec).hotplug_requested_mib, 132u);
  EXPECT_EQ(hypervisor_->RequestHotplugMemory(spec.uuid, 132), absl::OkStatus()) << "twice";
  ASSERT_EQ(hypervisor_->RequestHotplugMemory(spec.uuid, 256), absl::OkStatus());
  ASSERT_TRUE(WaitForSize(spec, 256, 256));
  EXPECT_EQ(ReasonOf(hypervisor_->RequestHotplugMemory(spec.uuid, 260)),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_EQ(Size(spec).hotplug_requested_mib, 256u);
  // The balloon is about the memory at boot, whatever there is above it.
  ASSERT_EQ(hypervisor_->SetBalloon(spec.uuid, 200), absl::OkStatus());
  ASSERT_TRUE(WaitForSize(spec, 256, 200));
  ASSERT_EQ(hypervisor_->SetBalloon(spec.uuid, 256), absl::OkStatus());
  ASSERT_TRUE(WaitForSize(spec, 256, 256));
  ASSERT_EQ(hypervisor_->RequestHotplugMemory(spec.uuid, 0), absl::OkStatus());
  ASSERT_TRUE(WaitForSize(spec, 0, 256));
  EXPECT_EQ(Get(spec).state, PowerState::kRunning);
}

TEST_F(HypervisorContractSize, StartsWithTheSizeOfTheDefinition) {
  DomainSpec spec = MakeGrowable("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  // Another definition changes nothing of what runs.
  spec.vcpus = 2;
  spec.hotplug_requested_mib = 128;
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  EXPECT_EQ(Size(spec).vcpus, 1u);
  EXPECT_EQ(Size(spec).hotplug_requested_mib, 0u);
  ASSERT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(Size(spec).vcpus, 2u);
  EXPECT_EQ(Size(spec).hotplug_requested_mib, 128u);
  WaitBooted(spec);
  EXPECT_TRUE(WaitForSize(spec, 128, 256));
}

TEST_F(HypervisorContractSize, StartsWithTheBalloonOfTheDefinition) {
  DomainSpec spec = MakeGrowable("contract-a");
  spec.balloon_mib = 200;
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  WaitBooted(spec);
  EXPECT_TRUE(WaitForSize(spec, 0, 200));
}

TEST_F(HypervisorContractSize, AGuestWithoutRoomHasItsBalloonOnly) {
  DomainSpec spec = harness_->MakeSpec("contract-a");
  spec.memory_mib = 256;
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  WaitBooted(spec);
  EXPECT_EQ(ReasonOf(hypervisor_->AddVcpus(spec.uuid, 2)),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_EQ(ReasonOf(hypervisor_->RequestHotplugMemory(spec.uuid, 128)),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  ASSERT_EQ(hypervisor_->SetBalloon(spec.uuid, 200), absl::OkStatus());
  EXPECT_TRUE(WaitForSize(spec, 0, 200));
}

}  // namespace
}  // namespace cvm::hypervisor
