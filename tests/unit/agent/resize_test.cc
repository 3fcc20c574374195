// SPDX-License-Identifier: Apache-2.0
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using hypervisor::FakeMethod;
using v1::Operation;

constexpr char kId[] = "ins-00000001";

class ResizeTest : public ::testing::Test {
 protected:
  ResizeTest() { agent_.ImportBase(); }

  static v1::ResizeInstanceRequest Request(uint32_t vcpus, uint64_t memory_mib,
                                           bool force = false) {
    v1::ResizeInstanceRequest request;
    request.set_instance_id(kId);
    request.set_vcpus(vcpus);
    request.set_memory_mib(memory_mib);
    request.set_force_stop(force);
    return request;
  }
  Operation Resize(const v1::ResizeInstanceRequest& request) {
    return agent_.Run(agent_.instances().Resize(agent_.caller, request));
  }
  ErrorReason Refusal(const v1::ResizeInstanceRequest& request) {
    return ReasonOf(agent_.instances().Resize(agent_.caller, request).status());
  }
  void ExpectSize(uint32_t vcpus, uint64_t memory_mib) {
    EXPECT_EQ(agent_.Find(kId)->spec().vcpus(), vcpus);
    EXPECT_EQ(agent_.Find(kId)->spec().memory_mib(), memory_mib);
    const auto domain = agent_.host->FindSpec(agent_.UuidOf(kId));
    EXPECT_EQ(domain->vcpus, vcpus);
    EXPECT_EQ(domain->memory_mib, memory_mib);
  }

  AgentHarness agent_;
};

TEST_F(ResizeTest, ChangesAStoppedInstanceAndLeavesItOff) {
  agent_.MakeInstance(kId, false);
  EXPECT_EQ(Resize(Request(2, 256)).state(), Operation::SUCCESS);
  ExpectSize(2, 256);
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
  // Zero is "as it is"; smaller is a resize as well.
  EXPECT_EQ(Resize(Request(0, 128)).state(), Operation::SUCCESS);
  ExpectSize(2, 128);
  EXPECT_EQ(Resize(Request(1, 0)).state(), Operation::SUCCESS);
  ExpectSize(1, 128);
  agent_.ExpectNothingLeftOver();
}

TEST_F(ResizeTest, StopsARunningGuestOnlyWhenTold) {
  agent_.MakeInstance(kId);
  EXPECT_EQ(Refusal(Request(2, 256)), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 1);
  EXPECT_EQ(Resize(Request(2, 256, true)).state(), Operation::SUCCESS);
  ExpectSize(2, 256);
  EXPECT_EQ(agent_.host->Boots(agent_.UuidOf(kId)), 2);
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  EXPECT_EQ(agent_.Find(kId)->wanted_power(), v1::WANTED_POWER_ON);
}

TEST_F(ResizeTest, AStartThatFailsBringsTheOldGuestBack) {
  agent_.MakeInstance(kId);
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "too large"));
  const Operation operation = Resize(Request(2, 256, true));
  EXPECT_EQ(ReasonOf(operation), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  ExpectSize(1, 128);
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf(kId), v1::RUNNING);
  agent_.ExpectNothingLeftOver();
}

TEST_F(ResizeTest, AGuestThatDoesNotComeBackIsLeftOffAndSaidSo) {
  agent_.MakeInstance(kId);
  agent_.host->FailNext(FakeMethod::kStartDomain,
                        Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR, "no"), 2);
  EXPECT_EQ(Resize(Request(2, 256, true)).state(), Operation::FAILED);
  ExpectSize(1, 128);
  EXPECT_EQ(agent_.StateOf(kId), v1::STOPPED);
}

TEST_F(ResizeTest, CountsItsOwnShareOnce) {
  agent_.MakeInstance(kId);
  const auto host = agent_.instances().Get(kId);
  ASSERT_TRUE(host.ok());
  // Nearly all of the host's memory fits, although a part of it is its own already.
  uint64_t largest = 128;
  while (agent_.instances()
             .Resize(agent_.caller,
                     [&] {
                       auto request = Request(0, largest * 2, true);
                       request.set_validate_only(true);
                       return request;
                     }())
             .ok()) {
    largest *= 2;
  }
  EXPECT_GT(largest, 1024u);
  EXPECT_EQ(Refusal(Request(0, largest * 2, true)), ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY);
  EXPECT_EQ(Refusal(Request(100000, 0, true)), ErrorReason::ERROR_REASON_INSUFFICIENT_VCPUS);
  EXPECT_EQ(Resize(Request(0, largest, true)).state(), Operation::SUCCESS);
  ExpectSize(1, largest);
}

TEST_F(ResizeTest, RefusesBadInput) {
  agent_.MakeInstance(kId, false);
  EXPECT_EQ(Refusal(Request(0, 0)), ErrorReason::ERROR_REASON_MISSING_FIELD);
  EXPECT_EQ(Refusal(Request(1, 63)), ErrorReason::ERROR_REASON_INVALID_FIELD);
  auto both = Request(2, 0, true);
  both.set_online(true);
  EXPECT_EQ(Refusal(both), ErrorReason::ERROR_REASON_FIELDS_CONFLICT);
  ExpectSize(1, 128);
}

TEST_F(ResizeTest, CountsTheNewSizeFromTheSubmissionOn) {
  agent_.MakeInstance(kId, false);
  agent_.host->HangNext(FakeMethod::kDefineDomain);
  const auto submitted = agent_.instances().Resize(agent_.caller, Request(2, 256));
  ASSERT_TRUE(submitted.ok()) << submitted.status();
  ASSERT_TRUE(agent_.host->WaitForHung(FakeMethod::kDefineDomain));
  EXPECT_EQ(agent_.Find(kId)->pending_size().vcpus(), 2u);
  EXPECT_EQ(agent_.Find(kId)->pending_size().memory_mib(), 256u);
  agent_.host->ReleaseHung(FakeMethod::kDefineDomain, hypervisor::HungOutcome::kAnswered);
  EXPECT_EQ(agent_.WaitEnd(submitted->id()).state(), Operation::SUCCESS);
  EXPECT_FALSE(agent_.Find(kId)->has_pending_size());
}

}  // namespace
}  // namespace cvm::agent::core
