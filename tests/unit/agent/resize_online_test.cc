// SPDX-License-Identifier: Apache-2.0
//
// Growing and shrinking guests that run on.
#include "agent/core/host_capacity.h"
#include "agent/core/instance_size.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using ::testing::HasSubstr;
using v1::Operation;

constexpr char kId[] = "ins-00000001";
constexpr ErrorReason kRefused = ErrorReason::ERROR_REASON_CANNOT_RESIZE_ONLINE;

ErrorMetadata MetadataOf(const absl::Status& status) {
  ErrorMetadata metadata;
  if (const auto info = ErrorInfoOf(status)) {
    metadata.insert(info->metadata().begin(), info->metadata().end());
  }
  return metadata;
}

// A guest of 1 vCPU and 256 MiB that can be grown to 4 vCPUs and 768 MiB.
class ResizeOnlineTest : public ::testing::Test {
 protected:
  ResizeOnlineTest() {
    agent_.ImportBase();
    Make(kId, 4, 768);
  }

  void Make(const std::string& id, uint32_t max_vcpus, uint64_t max_memory_mib) {
    v1::CreateInstanceRequest request = agent_.CreateRequest(id);
    request.mutable_spec()->set_memory_mib(256);
    request.mutable_spec()->set_max_vcpus(max_vcpus);
    request.mutable_spec()->set_max_memory_mib(max_memory_mib);
    const Operation operation = agent_.Run(agent_.instances().Create(agent_.caller, request));
    ASSERT_EQ(operation.state(), Operation::SUCCESS) << operation.ShortDebugString();
    agent_.Settle();
    ASSERT_EQ(agent_.StateOf(id), v1::RUNNING);
  }

  static v1::ResizeInstanceRequest Request(uint32_t vcpus, uint64_t memory_mib) {
    v1::ResizeInstanceRequest request;
    request.set_instance_id(kId);
    request.set_vcpus(vcpus);
    request.set_memory_mib(memory_mib);
    request.set_online(true);
    return request;
  }
  absl::StatusOr<Operation> Submit(const v1::ResizeInstanceRequest& request) {
    return agent_.instances().Resize(agent_.caller, request);
  }
  Operation Resize(uint32_t vcpus, uint64_t memory_mib) {
    const Operation operation = agent_.Run(Submit(Request(vcpus, memory_mib)));
    agent_.Settle();
    return operation;
  }
  absl::Status Refusal(uint32_t vcpus, uint64_t memory_mib) {
    return Submit(Request(vcpus, memory_mib)).status();
  }
  Operation ResizeOffline(uint32_t vcpus, uint64_t memory_mib) {
    v1::ResizeInstanceRequest request = Request(vcpus, memory_mib);
    request.set_online(false);
    request.set_force_stop(true);
    const Operation operation = agent_.Run(Submit(request));
    agent_.Settle();
    return operation;
  }

  hypervisor::DomainSize Live() {
    return agent_.host->SizeOf(agent_.UuidOf(kId)).value_or(hypervisor::DomainSize());
  }
  void ExpectLive(uint32_t vcpus, uint64_t hotplug_mib, uint64_t balloon_mib) {
    EXPECT_EQ(Live().vcpus, vcpus);
    EXPECT_EQ(Live().hotplug_requested_mib, hotplug_mib);
    EXPECT_EQ(Live().hotplug_current_mib, hotplug_mib);
    EXPECT_EQ(Live().balloon_mib, balloon_mib);
  }
  // The record, and a definition that boots the same.
  void ExpectSize(uint32_t vcpus, uint64_t memory_mib, uint64_t boot_mib) {
    const InstancePtr instance = agent_.Find(kId);
    EXPECT_EQ(instance->spec().vcpus(), vcpus);
    EXPECT_EQ(instance->spec().memory_mib(), memory_mib);
    EXPECT_EQ(BootMemoryMib(SizeOf(*instance)), boot_mib);
    EXPECT_FALSE(instance->has_pending_size());
    const auto domain = agent_.host->FindSpec(agent_.UuidOf(kId));
    EXPECT_EQ(domain->vcpus, vcpus);
    EXPECT_EQ(domain->memory_mib, boot_mib);
    EXPECT_EQ(domain->hotplug_requested_mib, memory_mib > boot_mib ? memory_mib - boot_mib : 0);
    EXPECT_EQ(domain->balloon_mib, std::min(memory_mib, boot_mib));
  }

  AgentHarness agent_;
};

TEST_F(ResizeOnlineTest, GrowsVcpusAndMemoryOfAGuestThatRunsOn) {
  EXPECT_EQ(Resize(3, 512).state(), Operation::SUCCESS);
  ExpectLive(3, 256, 256);
  ExpectSize(3, 512, 256);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 1);
  // One of the two alone, and to the very maximum.
  EXPECT_EQ(Resize(4, 0).state(), Operation::SUCCESS);
  ExpectSize(4, 512, 256);
  EXPECT_EQ(Resize(0, 768).state(), Operation::SUCCESS);
  ExpectLive(4, 512, 256);
  ExpectSize(4, 768, 256);
  // What it has already is no change.
  EXPECT_EQ(Resize(4, 768).state(), Operation::SUCCESS);
  ExpectSize(4, 768, 256);
  agent_.ExpectNothingLeftOver();
}

TEST_F(ResizeOnlineTest, ShrinksMemoryAboveAndBelowWhatTheGuestBootedWith) {
  ASSERT_EQ(Resize(0, 768).state(), Operation::SUCCESS);
  EXPECT_EQ(Resize(0, 260).state(), Operation::SUCCESS);
  ExpectLive(1, 4, 256);
  ExpectSize(1, 260, 256);
  // Below it is the balloon that holds the rest.
  EXPECT_EQ(Resize(0, 200).state(), Operation::SUCCESS);
  ExpectLive(1, 0, 200);
  ExpectSize(1, 200, 256);
  EXPECT_EQ(Resize(0, 640).state(), Operation::SUCCESS);
  ExpectLive(1, 384, 256);
  EXPECT_EQ(Resize(0, 256).state(), Operation::SUCCESS);
  ExpectLive(1, 0, 256);
  ExpectSize(1, 256, 256);
  EXPECT_EQ(agent_.Find(kId)->boot_memory_mib(), 0u);
}

TEST_F(ResizeOnlineTest, AStoppedGuestStartsWithTheSizeThatItHad) {
  ASSERT_EQ(Resize(2, 512).state(), Operation::SUCCESS);
  v1::StopInstanceRequest stop;
  stop.set_instance_id(kId);
  stop.set_mode(v1::STOP_MODE_HARD);
  ASSERT_EQ(agent_.Run(agent_.instances().Stop(agent_.caller, stop)).state(), Operation::SUCCESS);
  agent_.Settle();
  agent_.Restart();
  v1::StartInstanceRequest start;
  start.set_instance_id(kId);
  ASSERT_EQ(agent_.Run(agent_.instances().Start(agent_.caller, start)).state(), Operation::SUCCESS);
  ExpectLive(2, 256, 256);
  ExpectSize(2, 512, 256);
}

TEST_F(ResizeOnlineTest, AnOfflineResizeMakesTheNewMemoryTheMemoryAtBoot) {
  ASSERT_EQ(Resize(2, 512).state(), Operation::SUCCESS);
  EXPECT_EQ(ResizeOffline(3, 640).state(), Operation::SUCCESS);
  ExpectSize(3, 640, 640);
  EXPECT_EQ(agent_.Find(kId)->spec().max_vcpus(), 4u);
  EXPECT_EQ(agent_.Find(kId)->spec().max_memory_mib(), 768u);
  EXPECT_EQ(agent_.host->FindSpec(agent_.UuidOf(kId))->hotplug_memory_mib, 128u);
  ExpectLive(3, 0, 640);
  // Beyond the maxima it raises them.
  EXPECT_EQ(ResizeOffline(5, 1024).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.Find(kId)->spec().max_vcpus(), 5u);
  EXPECT_EQ(agent_.Find(kId)->spec().max_memory_mib(), 1024u);
  ExpectSize(5, 1024, 1024);
}

TEST_F(ResizeOnlineTest, AnOfflineResizeThatFailsReturnsEverything) {
  ASSERT_EQ(Resize(2, 512).state(), Operation::SUCCESS);
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "too large"));
  EXPECT_EQ(ResizeOffline(5, 1024).state(), Operation::FAILED);
  ExpectSize(2, 512, 256);
  EXPECT_EQ(agent_.Find(kId)->spec().max_vcpus(), 4u);
  EXPECT_EQ(agent_.Find(kId)->spec().max_memory_mib(), 768u);
  ExpectLive(2, 256, 256);
}

TEST_F(ResizeOnlineTest, RefusesVcpusWithoutKvmUnlessTheConfigurationAllowsIt) {
  hypervisor::HostInfo info = *agent_.core().hypervisor.GetHostInfo();
  info.kvm = false;
  agent_.host->SetHostInfo(info);
  const absl::Status refused = Refusal(2, 512);
  EXPECT_EQ(ReasonOf(refused), kRefused);
  EXPECT_THAT(refused.message(), HasSubstr("no KVM"));
  EXPECT_EQ(MetadataOf(refused)["limit"], "1");
  // Memory is another matter.
  EXPECT_EQ(Resize(1, 512).state(), Operation::SUCCESS);
  ExpectSize(1, 512, 256);
  agent_.config.operations.emulated_vcpu_growth = true;
  agent_.Restart();
  EXPECT_EQ(Resize(2, 512).state(), Operation::SUCCESS);
  ExpectSize(2, 512, 256);
}

struct RefusedSize {
  uint32_t vcpus;
  uint64_t memory_mib;
  std::string field;
  std::string limit;
  std::string says;
};

TEST_F(ResizeOnlineTest, RefusesWhatCannotBeDoneBeforeAnythingChanges) {
  ASSERT_EQ(Resize(2, 0).state(), Operation::SUCCESS);
  const int calls = agent_.host->Calls(FakeMethod::kDefineDomain);
  for (const RefusedSize& size : {
           RefusedSize{1, 0, "vcpus", "2", "QEMU can crash"},
           RefusedSize{5, 0, "vcpus", "4", "at most 4 vCPUs"},
           RefusedSize{0, 772, "memory_mib", "768", "at most 768 MiB"},
           RefusedSize{0, 514, "memory_mib", "", "steps of 4 MiB"},
           RefusedSize{0, 127, "memory_mib", "128", "more than half"},
           // The one that can be done does not save the other.
           RefusedSize{4, 772, "memory_mib", "768", "at most 768 MiB"},
           RefusedSize{5, 512, "vcpus", "4", "at most 4 vCPUs"},
       }) {
    SCOPED_TRACE(size.says);
    const absl::Status status = Refusal(size.vcpus, size.memory_mib);
    EXPECT_EQ(ReasonOf(status), kRefused) << status;
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr(size.says));
    ErrorMetadata metadata = MetadataOf(status);
    EXPECT_EQ(metadata["field"], size.field);
    EXPECT_EQ(metadata["limit"], size.limit);
  }
  EXPECT_EQ(ReasonOf(Refusal(0, 63)), ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(ReasonOf(Refusal(0, 0)), ErrorReason::ERROR_REASON_MISSING_FIELD);
  v1::ResizeInstanceRequest late = Request(3, 0);
  late.mutable_timeout()->set_seconds(3601);
  EXPECT_EQ(ReasonOf(Submit(late).status()), ErrorReason::ERROR_REASON_INVALID_FIELD);
  ExpectLive(2, 0, 256);
  ExpectSize(2, 256, 256);
  EXPECT_EQ(agent_.host->Calls(FakeMethod::kDefineDomain), calls);
}

TEST_F(ResizeOnlineTest, RefusesAGuestThatDoesNotRun) {
  ASSERT_TRUE(agent_.host->GuestPauses(agent_.UuidOf(kId), "user").ok());
  agent_.Settle();
  EXPECT_EQ(ReasonOf(Refusal(2, 0)), kRefused);
  ASSERT_TRUE(agent_.host->GuestResumes(agent_.UuidOf(kId)).ok());
  ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf(kId)).ok());
  agent_.Settle();
  const absl::Status stopped = Refusal(2, 0);
  EXPECT_EQ(ReasonOf(stopped), kRefused);
  EXPECT_EQ(MetadataOf(stopped)["state"], "STOPPED");
  agent_.host->Disconnect();
  agent_.Settle();
  EXPECT_EQ(ReasonOf(Refusal(2, 0)), ErrorReason::ERROR_REASON_STATE_UNKNOWN);
}

TEST_F(ResizeOnlineTest, AGuestMadeWithoutRoomCannotBeGrown) {
  Make("ins-00000002", 0, 0);
  EXPECT_EQ(agent_.Find("ins-00000002")->spec().max_vcpus(), 1u);
  EXPECT_EQ(agent_.Find("ins-00000002")->spec().max_memory_mib(), 256u);
  v1::ResizeInstanceRequest request = Request(2, 0);
  request.set_instance_id("ins-00000002");
  EXPECT_EQ(MetadataOf(Submit(request).status())["limit"], "1");
  request.set_vcpus(0);
  request.set_memory_mib(260);
  EXPECT_EQ(MetadataOf(Submit(request).status())["limit"], "256");
  // Its balloon works all the same.
  request.set_memory_mib(128);
  EXPECT_EQ(agent_.Run(Submit(request)).state(), Operation::SUCCESS);
}

TEST_F(ResizeOnlineTest, OnlyWholePiecesAboveTheMemoryAtBootAreGiven) {
  Make("ins-00000002", 0, 256 + 300);
  EXPECT_EQ(agent_.host->FindSpec(agent_.UuidOf("ins-00000002"))->hotplug_memory_mib, 256u);
  v1::ResizeInstanceRequest request = Request(0, 516);
  request.set_instance_id("ins-00000002");
  EXPECT_EQ(MetadataOf(Submit(request).status())["limit"], "512");
}

TEST_F(ResizeOnlineTest, CountsWhatIsBeingGivenAtOnceAndWhatABalloonHoldsStill) {
  const auto allocated = [&] { return GetCapacity(agent_.core())->memory_allocated_mib(); };
  ASSERT_EQ(allocated(), 256u);
  ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), true).ok());
  const auto submitted = Submit(Request(4, 768));
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  EXPECT_EQ(allocated(), 768u);
  EXPECT_EQ(GetCapacity(agent_.core())->vcpus_allocated(), 4u);
  EXPECT_EQ(agent_.WaitEndAdvancing(submitted->id()).state(), Operation::FAILED);
  EXPECT_EQ(allocated(), 256u);
  EXPECT_EQ(GetCapacity(agent_.core())->vcpus_allocated(), 1u);

  ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), false).ok());
  ASSERT_EQ(Resize(0, 128).state(), Operation::SUCCESS);
  EXPECT_EQ(allocated(), 256u) << "the guest can have it back at any time";
  ASSERT_EQ(Resize(0, 512).state(), Operation::SUCCESS);
  EXPECT_EQ(allocated(), 512u);
}

TEST_F(ResizeOnlineTest, RefusesMoreThanTheHostHasLeft) {
  Make("ins-00000002", 8, uint64_t{15} * 1024);
  v1::ResizeInstanceRequest request = Request(8, 14848);
  request.set_instance_id("ins-00000002");
  ASSERT_EQ(agent_.Run(Submit(request)).state(), Operation::SUCCESS);
  EXPECT_EQ(ReasonOf(Refusal(0, 768)), ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY)
      << "512 MiB are left";
  // Giving back is possible on a full host.
  request.set_memory_mib(1024);
  EXPECT_EQ(agent_.Run(Submit(request)).state(), Operation::SUCCESS);
  EXPECT_EQ(Resize(0, 768).state(), Operation::SUCCESS);
}

TEST_F(ResizeOnlineTest, WaitsForAGuestThatTakesItsTime) {
  ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), true).ok());
  const auto submitted = Submit(Request(2, 512));
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return Live().hotplug_requested_mib == 256; }));
  ASSERT_TRUE(agent_.host->GuestTakesMemory(agent_.UuidOf(kId), 128).ok());
  agent_.Settle();
  EXPECT_EQ(agent_.engine().Get(submitted->id())->state(), Operation::OPERATING);
  EXPECT_EQ(Live().vcpus, 1u);
  // The event wakes it: the clock stands still.
  ASSERT_TRUE(agent_.host->GuestTakesMemory(agent_.UuidOf(kId), 256).ok());
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
  ExpectLive(2, 256, 256);
}

TEST_F(ResizeOnlineTest, AsksForTheFormerSizeWhenTheGuestDoesNotTakeAllInTime) {
  ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), true).ok());
  v1::ResizeInstanceRequest request = Request(2, 512);
  request.mutable_timeout()->set_seconds(30);
  const auto submitted = Submit(request);
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return Live().hotplug_requested_mib == 256; }));
  ASSERT_TRUE(agent_.host->GuestTakesMemory(agent_.UuidOf(kId), 252).ok());
  const Operation operation = agent_.WaitEndAdvancing(submitted->id());
  EXPECT_EQ(ReasonOf(operation), kRefused);
  EXPECT_THAT(operation.error().message(), HasSubstr("508 MiB"));
  EXPECT_EQ(Live().hotplug_requested_mib, 0u);
  EXPECT_EQ(Live().vcpus, 1u);
  ExpectSize(1, 256, 256);
}

TEST_F(ResizeOnlineTest, AsksForTheFormerSizeWhenTheGuestGivesNothingBack) {
  ASSERT_EQ(Resize(0, 512).state(), Operation::SUCCESS);
  ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), true).ok());
  const auto submitted = Submit(Request(0, 200));
  ASSERT_TRUE(submitted.ok());
  EXPECT_EQ(ReasonOf(agent_.WaitEndAdvancing(submitted->id())), kRefused);
  ExpectLive(1, 256, 256);
  ExpectSize(1, 512, 256);
}

TEST_F(ResizeOnlineTest, ACancelReturnsTheFormerSize) {
  ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), true).ok());
  const auto submitted = Submit(Request(2, 512));
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return Live().hotplug_requested_mib == 256; }));
  ASSERT_TRUE(agent_.engine().Cancel(submitted->id(), false).ok());
  EXPECT_EQ(ReasonOf(agent_.WaitEnd(submitted->id())),
            ErrorReason::ERROR_REASON_OPERATION_CANCELLED);
  EXPECT_EQ(Live().hotplug_requested_mib, 0u);
  ExpectSize(1, 256, 256);
}

TEST_F(ResizeOnlineTest, EveryFailedCallReturnsTheFormerGuest) {
  for (const FakeMethod method : {FakeMethod::kRequestHotplugMemory, FakeMethod::kDefineDomain,
                                  FakeMethod::kAddVcpus, FakeMethod::kGetDomainSize}) {
    SCOPED_TRACE(static_cast<int>(method));
    agent_.host->FailNext(method, Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
    const Operation operation = Resize(2, 512);
    EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
    ExpectLive(1, 0, 256);
    ExpectSize(1, 256, 256);
  }
  agent_.host->FailNext(FakeMethod::kSetBalloon,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  EXPECT_EQ(Resize(0, 200).state(), Operation::FAILED);
  ExpectLive(1, 0, 256);
  ExpectSize(1, 256, 256);
  agent_.ExpectNothingLeftOver();
}

TEST_F(ResizeOnlineTest, VcpusThatCameBeforeTheFailureAreCounted) {
  agent_.host->LoseNextAnswer(FakeMethod::kAddVcpus,
                              Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"));
  const Operation operation = Resize(3, 512);
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  ExpectLive(3, 0, 256);
  ExpectSize(3, 256, 256);
}

TEST_F(ResizeOnlineTest, AGuestThatGoesOffMeanwhileKeepsItsFormerSize) {
  ASSERT_TRUE(agent_.host->IgnoreMemory(agent_.UuidOf(kId), true).ok());
  const auto submitted = Submit(Request(2, 512));
  ASSERT_TRUE(submitted.ok());
  ASSERT_TRUE(agent_.WaitFor([&] { return Live().hotplug_requested_mib == 256; }));
  ASSERT_TRUE(agent_.host->GuestShutsDown(agent_.UuidOf(kId)).ok());
  EXPECT_EQ(ReasonOf(agent_.WaitEnd(submitted->id())),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  ExpectSize(1, 256, 256);
}

TEST_F(ResizeOnlineTest, TheMetadataOfTheDomainHasTheMemoryAtBoot) {
  ASSERT_EQ(Resize(0, 512).state(), Operation::SUCCESS);
  EXPECT_THAT(agent_.host->FindSpec(agent_.UuidOf(kId))->metadata,
              HasSubstr(R"("bootMemoryMib":"256")"));
}

TEST(MaximaTest, ComeFromTheConfigurationAndTheHost) {
  AgentHarness agent([](Config& config) {
    config.limits.max_vcpus_ratio = 4;
    config.limits.max_memory_ratio = 2.5;
  });
  agent.ImportBase();
  agent.MakeInstance(kId);
  EXPECT_EQ(agent.Find(kId)->spec().max_vcpus(), 4u);
  EXPECT_EQ(agent.Find(kId)->spec().max_memory_mib(), 320u);
  v1::CreateInstanceRequest large = agent.CreateRequest("ins-00000002");
  large.mutable_spec()->set_vcpus(3);
  large.mutable_spec()->set_memory_mib(8000);
  ASSERT_EQ(agent.Run(agent.instances().Create(agent.caller, large)).state(), Operation::SUCCESS);
  EXPECT_EQ(agent.Find("ins-00000002")->spec().max_vcpus(), 8u) << "what the host has";
  EXPECT_EQ(agent.Find("ins-00000002")->spec().max_memory_mib(), 15360u) << "less the reserve";
}

TEST(MaximaTest, ThatTheHostDoesNotHaveAreRefused) {
  AgentHarness agent;
  agent.ImportBase();
  v1::CreateInstanceRequest request = agent.CreateRequest(kId);
  const auto refusal = [&] {
    return ReasonOf(agent.instances().Create(agent.caller, request).status());
  };
  request.mutable_spec()->set_max_vcpus(9);
  EXPECT_EQ(refusal(), ErrorReason::ERROR_REASON_INSUFFICIENT_VCPUS);
  request.mutable_spec()->set_max_vcpus(0);
  request.mutable_spec()->set_max_memory_mib(15361);
  EXPECT_EQ(refusal(), ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY);
  request.mutable_spec()->set_max_memory_mib(127);
  EXPECT_EQ(refusal(), ErrorReason::ERROR_REASON_INVALID_FIELD);
  request.mutable_spec()->set_max_memory_mib(0);
  request.mutable_spec()->set_vcpus(2);
  request.mutable_spec()->set_max_vcpus(1);
  EXPECT_EQ(refusal(), ErrorReason::ERROR_REASON_INVALID_FIELD);
}

TEST(InstanceSizeTest, SurvivesANote) {
  const InstanceSize size{.vcpus = 1,
                          .memory_mib = 2,
                          .max_vcpus = 3,
                          .max_memory_mib = uint64_t{1} << 40,
                          .boot_memory_mib = 5};
  EXPECT_EQ(ToNote(SizeFromNote(ToNote(size))), ToNote(size));
  EXPECT_EQ(SizeFromNote(ToNote(size)).max_memory_mib, uint64_t{1} << 40);
  EXPECT_EQ(SizeFromNote("").vcpus, 0u);
}

}  // namespace
}  // namespace cvm::agent::core
