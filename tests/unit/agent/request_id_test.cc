// SPDX-License-Identifier: Apache-2.0
//
// Replays, dry runs and races of submissions.
#include <thread>

#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using v1::Operation;

class RequestIdTest : public ::testing::Test {
 protected:
  RequestIdTest() { agent_.ImportBase(); }

  absl::StatusOr<Operation> Create(const v1::CreateInstanceRequest& request) {
    return agent_.instances().Create(agent_.caller, request);
  }

  absl::StatusOr<Operation> Delete(const std::string& id, const std::string& request_id) {
    v1::DeleteInstanceRequest request;
    request.set_request_id(request_id);
    request.set_instance_id(id);
    return agent_.instances().Delete(agent_.caller, request);
  }

  // How many of the answers are errors with this reason.
  static int Count(const std::vector<absl::StatusOr<Operation>>& answers, ErrorReason reason) {
    int count = 0;
    for (const auto& answer : answers) {
      if (!answer.ok() && ReasonOf(answer.status()) == reason) ++count;
    }
    return count;
  }

  // Calls `submit` from that many threads at once.
  static std::vector<absl::StatusOr<Operation>> AtOnce(
      int threads, const std::function<absl::StatusOr<Operation>(int)>& submit) {
    std::vector<absl::StatusOr<Operation>> answers(static_cast<size_t>(threads),
                                                   absl::UnknownError("no answer"));
    std::vector<std::jthread> running;
    for (int i = 0; i < threads; ++i) {
      running.emplace_back([&, i] { answers[static_cast<size_t>(i)] = submit(i); });
    }
    running.clear();
    return answers;
  }

  AgentHarness agent_;
};

TEST_F(RequestIdTest, AnswersAReplayWithTheSameOperation) {
  const v1::CreateInstanceRequest request = agent_.CreateRequest("", "r1");
  const auto first = Create(request);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(Create(request)->id(), first->id());
  EXPECT_EQ(agent_.WaitEnd(first->id()).state(), Operation::SUCCESS);
  const auto replay = Create(request);
  EXPECT_EQ(replay->id(), first->id());
  EXPECT_EQ(replay->state(), Operation::SUCCESS);
  agent_.Restart();
  EXPECT_EQ(Create(request)->id(), first->id());
  EXPECT_EQ(agent_.ledger().instances().All().size(), 1u);

  // Also when it could not be run again: the instance is gone.
  ASSERT_EQ(agent_.Run(Delete(first->target_id(), "d1")).state(), Operation::SUCCESS);
  EXPECT_EQ(Delete(first->target_id(), "d1")->state(), Operation::SUCCESS);
  EXPECT_EQ(ReasonOf(Delete(first->target_id(), "d2").status()),
            ErrorReason::ERROR_REASON_INSTANCE_NOT_FOUND);
}

TEST_F(RequestIdTest, RefusesTheIdForAnotherRequest) {
  v1::CreateInstanceRequest request = agent_.CreateRequest("ins-00000001", "r1");
  request.mutable_spec()->mutable_login()->add_ssh_public_keys();
  request.mutable_spec()->mutable_login()->clear_ssh_public_keys();
  ASSERT_TRUE(Create(request).ok());
  v1::CreateInstanceRequest other = request;
  other.mutable_spec()->set_memory_mib(256);
  EXPECT_EQ(ReasonOf(Create(other).status()), ErrorReason::ERROR_REASON_REQUEST_ID_REUSED);
  // A secret is part of the request, too.
  other = request;
  other.mutable_spec()->set_user_data("x");
  EXPECT_EQ(ReasonOf(Create(other).status()), ErrorReason::ERROR_REASON_REQUEST_ID_REUSED);
  // And so is the kind of the request.
  EXPECT_EQ(ReasonOf(Delete("ins-00000001", "r1").status()),
            ErrorReason::ERROR_REASON_REQUEST_ID_REUSED);
}

TEST_F(RequestIdTest, KeepsCallersApart) {
  const auto mine = Create(agent_.CreateRequest("", "r1"));
  const auto others =
      agent_.instances().Create(Caller{.scope = "other"}, agent_.CreateRequest("", "r1"));
  ASSERT_TRUE(mine.ok() && others.ok());
  EXPECT_NE(mine->id(), others->id());
}

TEST_F(RequestIdTest, FailsAReplayOfWhatIsForgotten) {
  const v1::CreateInstanceRequest request = agent_.CreateRequest("ins-00000001", "r1");
  const Operation created = agent_.Run(Create(request));
  agent_.Run(Delete("ins-00000001", "r2"));
  agent_.clock.Advance(absl::Hours(1));
  ASSERT_TRUE(agent_.store().ForgetOperations(agent_.clock.Now()).ok());
  EXPECT_EQ(ReasonOf(Create(request).status()), ErrorReason::ERROR_REASON_REQUEST_ID_EXPIRED);
  EXPECT_EQ(agent_.Find("ins-00000001"), nullptr);
  EXPECT_EQ(ReasonOf(agent_.engine().Get(created.id()).status()),
            ErrorReason::ERROR_REASON_OPERATION_NOT_FOUND);
}

TEST_F(RequestIdTest, ChecksTheForm) {
  for (const std::string& bad : {std::string(65, 'a'), std::string("a\nb"), std::string("\x01"),
                                 std::string("ü"), std::string("a\0b", 3), std::string("\x7f")}) {
    const auto refused = Create(agent_.CreateRequest("", bad));
    EXPECT_EQ(ReasonOf(refused.status()), ErrorReason::ERROR_REASON_INVALID_FIELD) << bad;
    EXPECT_EQ(ErrorInfoOf(refused.status())->metadata().at("field"), "request_id");
  }
  EXPECT_TRUE(Create(agent_.CreateRequest("", std::string(64, '~'))).ok());
}

TEST_F(RequestIdTest, ValidatesOnlyWithoutATrace) {
  const auto files = agent_.Files();
  v1::CreateInstanceRequest request = agent_.BigCreateRequest("ins-00000001", "r1");
  request.set_validate_only(true);
  const auto dry = Create(request);
  ASSERT_TRUE(dry.ok()) << dry.status();
  EXPECT_TRUE(dry->validate_only());
  EXPECT_EQ(dry->id(), "");
  EXPECT_EQ(agent_.Find("ins-00000001"), nullptr);
  EXPECT_EQ(agent_.Files(), files);
  EXPECT_TRUE(agent_.store().LoadInstances()->empty());
  EXPECT_TRUE(agent_.engine().List({})->empty());
  EXPECT_FALSE(agent_.store().FindRequest(agent_.caller.scope, "r1")->has_value());
  // It finds what is wrong.
  request.mutable_spec()->set_image_id("img-none0000");
  EXPECT_EQ(ReasonOf(Create(request).status()), ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND);
  // The id is still free, also for another request.
  EXPECT_EQ(agent_.Run(Create(agent_.CreateRequest("ins-00000001", "r1"))).state(),
            Operation::SUCCESS);
  v1::StopInstanceRequest stop;
  stop.set_instance_id("ins-00000001");
  stop.set_validate_only(true);
  EXPECT_TRUE(agent_.instances().Stop(agent_.caller, stop)->validate_only());
  agent_.Settle();
  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
  EXPECT_EQ(agent_.engine().List({})->size(), 1u);
  v1::DeleteImageRequest remove;
  agent_.Run(Delete("ins-00000001", ""));
  remove.set_image_id("img-base0000");
  remove.set_validate_only(true);
  EXPECT_TRUE(agent_.images().Delete(agent_.caller, remove).ok());
  EXPECT_EQ(agent_.images().Get("img-base0000")->state(), v1::Image::READY);
}

TEST_F(RequestIdTest, MakesOneOperationOfManyAtOnce) {
  const auto answers =
      AtOnce(8, [&](int) { return Create(agent_.CreateRequest("ins-00000001", "r1")); });
  for (const auto& answer : answers) {
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(answer->id(), answers[0]->id());
  }
  EXPECT_EQ(agent_.WaitEnd(answers[0]->id()).state(), Operation::SUCCESS);
  EXPECT_EQ(agent_.host->Domains().size(), 1u);
}

TEST_F(RequestIdTest, NeverGivesMoreThanTheHostHas) {
  // The host has 16384 MiB, of which 1024 are reserved: room for three.
  const auto answers = AtOnce(8, [&](int) {
    v1::CreateInstanceRequest request = agent_.CreateRequest("");
    request.mutable_spec()->set_memory_mib(5000);
    return Create(request);
  });
  EXPECT_EQ(Count(answers, ErrorReason::ERROR_REASON_INSUFFICIENT_MEMORY), 5);
  for (const auto& answer : answers) {
    if (answer.ok()) agent_.WaitEnd(answer->id());
  }
  EXPECT_EQ(agent_.ledger().instances().All().size(), 3u);
  agent_.ExpectNothingLeftOver();
}

TEST_F(RequestIdTest, GivesEachAddressOnce) {
  // net-b has six host addresses.
  const auto answers = AtOnce(8, [&](int) {
    v1::CreateInstanceRequest request = agent_.CreateRequest("");
    request.set_start(v1::CreateInstanceRequest::START_NO);
    request.mutable_spec()->add_nics()->set_network_id("net-b");
    return Create(request);
  });
  EXPECT_EQ(Count(answers, ErrorReason::ERROR_REASON_NO_FREE_ADDRESS), 2);
  std::set<std::string> addresses;
  for (const InstancePtr& instance : agent_.ledger().instances().All()) {
    addresses.insert(instance->spec().nics(0).ipv4_address());
  }
  EXPECT_EQ(addresses.size(), 6u);
}

TEST_F(RequestIdTest, LetsExactlyOneOfManyClientsWin) {
  agent_.MakeInstance("ins-00000001");
  agent_.host->HangNext(hypervisor::FakeMethod::kDestroyDomain);
  const auto answers =
      AtOnce(6, [&](int i) { return Delete("ins-00000001", "delete-" + std::to_string(i)); });
  EXPECT_EQ(Count(answers, ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS), 5);
  ASSERT_TRUE(agent_.host->WaitForHung(hypervisor::FakeMethod::kDestroyDomain));
  agent_.host->ReleaseHung(hypervisor::FakeMethod::kDestroyDomain,
                           hypervisor::HungOutcome::kAnswered);
  for (const auto& answer : answers) {
    if (answer.ok()) {
      EXPECT_EQ(agent_.WaitEnd(answer->id()).state(), Operation::SUCCESS);
    }
  }
  agent_.ExpectNothingLeftOver();
}

TEST_F(RequestIdTest, ChecksTheStateAlsoWhenAnOperationEndsMeanwhile) {
  // Starts race with the end of the creation: each is refused, for one reason or the other.
  for (int round = 0; round < 5; ++round) {
    const std::string id = "ins-0000000" + std::to_string(round);
    const auto created = Create(agent_.CreateRequest(id));
    ASSERT_TRUE(created.ok()) << created.status();
    v1::StartInstanceRequest start;
    start.set_instance_id(id);
    while (agent_.engine().Get(created->id())->state() == Operation::OPERATING) {
      const auto refused = agent_.instances().Start(agent_.caller, start);
      ASSERT_FALSE(refused.ok());
      const ErrorReason reason = ReasonOf(refused.status());
      EXPECT_TRUE(reason == ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS ||
                  reason == ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE)
          << refused.status();
    }
    EXPECT_EQ(agent_.Find(id)->latest_operation().id(), created->id());
  }
}

TEST_F(RequestIdTest, RefusesEverythingOnceTheAgentStops) {
  agent_.engine().BeginStop();
  EXPECT_EQ(ReasonOf(Create(agent_.CreateRequest("")).status()),
            ErrorReason::ERROR_REASON_AGENT_STOPPING);
}

}  // namespace
}  // namespace cvm::agent::core
