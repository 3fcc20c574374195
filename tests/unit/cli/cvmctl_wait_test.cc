// SPDX-License-Identifier: Apache-2.0
//
// What lasts: waiting, watching, and connections that break meanwhile.
#include <signal.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "common/errors.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/cli/fixture.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kId[] = "ins-00000001";

Operation Failed(Operation::Action action, const absl::Status& status) {
  Operation operation = MakeOperation(action, kId, Operation::FAILED, 40, "starting");
  *operation.mutable_error() = ToProto(status);
  return operation;
}

// Answers a watch with these states, as an agent does that ends after the last.
auto Sends(const std::vector<Operation>& states) {
  return [states](const agent::v1::WatchOperationRequest& request,
                  const std::function<bool(const Operation&)>& send, const std::function<bool()>&) {
    EXPECT_EQ(request.operation_id(), "op-00000001");
    for (const Operation& state : states) send(state);
    return absl::OkStatus();
  };
}

TEST_F(CvmctlTest, WaitShowsTheProgressAndTheOutcome) {
  script_.start_instance = [](const auto&) {
    return MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING);
  };
  script_.watch_operation =
      Sends({MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING, 10, "defining"),
             MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING, 60, "starting"),
             MakeOperation(Operation::START_INSTANCE, kId, Operation::SUCCESS, 100, "starting")});
  const Outcome outcome = Run({"instance", "start", kId, "--wait", "-o", "json"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(nlohmann::json::parse(outcome.out)["state"], "SUCCESS");
  EXPECT_EQ(outcome.err,
            "START_INSTANCE ins-00000001: defining   10%  0:00\n"
            "START_INSTANCE ins-00000001: starting   60%  0:00\n"
            "START_INSTANCE ins-00000001: starting  100%  0:00\n");
  EXPECT_EQ(Run({"instance", "start", kId, "--wait", "-q"}).err, "");
}

TEST_F(CvmctlTest, AFailedOperationIsExitCodeOneWhateverItsError) {
  script_.start_instance = [](const auto&) {
    return MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING);
  };
  script_.watch_operation = Sends({Failed(
      Operation::START_INSTANCE, Error(common::v1::ERROR_REASON_HYPERVISOR_UNAVAILABLE, "gone"))});
  const Outcome outcome = Run({"instance", "start", kId, "--wait"});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("cvmctl: HYPERVISOR_UNAVAILABLE: gone\n"));
  EXPECT_THAT(outcome.out, HasSubstr("FAILED"));
  const Outcome waited = Run({"operation", "wait", "op-00000001", "-o", "json", "-q"});
  EXPECT_EQ(waited.exit_code, 1);
  EXPECT_EQ(nlohmann::json::parse(waited.out)["state"], "FAILED");
  EXPECT_EQ(nlohmann::json::parse(waited.err)["error"]["reason"], "HYPERVISOR_UNAVAILABLE");
  const Outcome watched = Run({"operation", "watch", "op-00000001"});
  EXPECT_EQ(watched.exit_code, 1);
  EXPECT_THAT(watched.out, StartsWith("op-00000001  FAILED"));
}

TEST_F(CvmctlTest, ACallWhoseConnectionBreaksIsMadeAgainWithTheSameRequestId) {
  std::vector<std::string> ids;
  script_.delete_instance = [&](const agent::v1::DeleteInstanceRequest& request) {
    // One call at a time: the first is gone for the client when the second comes.
    ids.push_back(request.request_id());
    if (ids.size() == 1) relay_->Cut();
    return MakeOperation(Operation::DELETE_INSTANCE, kId, Operation::OPERATING);
  };
  const Outcome outcome = Run({"instance", "delete", kId, "-o", "id"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "ins-00000001\n");
  EXPECT_THAT(outcome.err, HasSubstr("the connection to the agent broke; trying again"));
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(ids[0], ids[1]);
  EXPECT_THAT(ids[0], StartsWith("cvmctl-"));
  EXPECT_LE(ids[0].size(), 64u);
  Run({"instance", "delete", kId});
  EXPECT_NE(ids[2], ids[0]);
}

TEST_F(CvmctlTest, ACallIsMadeAgainABoundedNumberOfTimes) {
  std::atomic<int> calls = 0;
  script_.delete_instance = [&](const auto&) {
    ++calls;
    relay_->Cut();
    return MakeOperation(Operation::DELETE_INSTANCE, kId, Operation::OPERATING);
  };
  const Outcome outcome = Run({"instance", "delete", kId});
  EXPECT_EQ(outcome.exit_code, 3) << outcome.err;
  EXPECT_GE(calls, 2);
  EXPECT_LE(calls, 6);
}

TEST_F(CvmctlTest, AnAgentThatDoesNotComeBackIsExitCodeThreeInTime) {
  script_.delete_instance = [&](const auto&) {
    relay_->Close();
    return MakeOperation(Operation::DELETE_INSTANCE, kId, Operation::OPERATING);
  };
  const Outcome outcome = Run({"instance", "delete", kId, "--timeout", "2s"});
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_THAT(outcome.err, HasSubstr("AGENT_UNREACHABLE"));
}

TEST_F(CvmctlTest, AStoppingAgentIsAskedAgain) {
  std::atomic<int> calls = 0;
  script_.delete_instance = [&](const auto&) -> absl::StatusOr<Operation> {
    if (++calls == 1) return Error(common::v1::ERROR_REASON_AGENT_STOPPING, "stopping");
    return MakeOperation(Operation::DELETE_INSTANCE, kId, Operation::OPERATING);
  };
  EXPECT_EQ(Run({"instance", "delete", kId}).exit_code, 0);
  EXPECT_EQ(calls, 2);
}

TEST_F(CvmctlTest, AWaitGoesOnAfterABrokenConnection) {
  script_.delete_instance = [](const auto&) {
    return MakeOperation(Operation::DELETE_INSTANCE, kId, Operation::OPERATING);
  };
  std::atomic<int> watches = 0;
  script_.watch_operation = [&](const agent::v1::WatchOperationRequest&,
                                const std::function<bool(const Operation&)>& send,
                                const std::function<bool()>& cancelled) {
    if (++watches == 1) {
      send(MakeOperation(Operation::DELETE_INSTANCE, kId, Operation::OPERATING, 10, "stopping"));
      relay_->Cut();
      while (!cancelled()) std::this_thread::yield();
      return absl::OkStatus();
    }
    send(MakeOperation(Operation::DELETE_INSTANCE, kId, Operation::SUCCESS, 100, "done"));
    return absl::OkStatus();
  };
  const Outcome outcome = Run({"instance", "delete", kId, "--wait"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(watches, 2);
  EXPECT_THAT(outcome.out, HasSubstr("SUCCESS"));
}

TEST_F(CvmctlTest, TimeoutAndSignalEndTheWaitAndSayHowToGoOn) {
  script_.start_instance = [](const auto&) {
    return MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING);
  };
  script_.watch_operation = [](const agent::v1::WatchOperationRequest&,
                               const std::function<bool(const Operation&)>& send,
                               const std::function<bool()>& cancelled) {
    send(MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING, 10, "starting"));
    while (!cancelled()) std::this_thread::yield();
    return absl::OkStatus();
  };
  const Outcome late = Run({"instance", "start", kId, "--wait", "--timeout", "1s"});
  EXPECT_EQ(late.exit_code, 3);
  EXPECT_THAT(late.err,
              AllOf(HasSubstr("cvmctl operation wait op-00000001"), HasSubstr("TIMED_OUT")));
  const auto process = Start({"instance", "start", kId, "--wait"});
  ASSERT_TRUE(process->WaitForErr("starting"));
  process->Signal(SIGINT);
  EXPECT_EQ(process->Wait(), 130);
  EXPECT_THAT(process->err(), HasSubstr("cvmctl operation wait op-00000001"));
}

TEST_F(CvmctlTest, CancelIsDoneWhenTheOperationWasCancelled) {
  script_.cancel_operation = [](const agent::v1::CancelOperationRequest& request) {
    EXPECT_NE(request.request_id(), "");
    Operation operation = MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING);
    operation.set_cancel_requested(true);
    return operation;
  };
  script_.watch_operation = Sends({Failed(
      Operation::START_INSTANCE, Error(common::v1::ERROR_REASON_OPERATION_CANCELLED, "asked"))});
  EXPECT_EQ(Run({"operation", "cancel", "op-00000001", "--wait"}).exit_code, 0);
  EXPECT_THAT(Run({"operation", "cancel", "op-00000001"}).out, HasSubstr("Cancel asked  yes"));
  EXPECT_EQ(Run({"operation", "wait", "op-00000001"}).exit_code, 1);
}

TEST_F(CvmctlTest, WatchPrintsALineEachAndResumesAfterABreak) {
  std::vector<std::string> tokens;
  script_.watch_instances = [&](const agent::v1::WatchInstancesRequest& request,
                                const std::function<bool(const agent::v1::InstanceEvent&)>& send,
                                const std::function<bool()>& cancelled) {
    tokens.push_back(request.resume_token());
    agent::v1::InstanceEvent event;
    event.set_kind(agent::v1::InstanceEvent::CHANGED);
    event.mutable_instance()->set_id("ins-0000000" + std::to_string(tokens.size()));
    event.set_resume_token("t" + std::to_string(tokens.size()));
    send(event);
    while (!cancelled()) std::this_thread::yield();
    return absl::OkStatus();
  };
  const auto process = Start({"instance", "watch", "--json"});
  ASSERT_TRUE(process->WaitForOut("ins-00000001"));
  relay_->Cut();
  ASSERT_TRUE(process->WaitForOut("ins-00000002"));
  process->Signal(SIGTERM);
  EXPECT_EQ(process->Wait(), 143);
  EXPECT_THAT(tokens, ::testing::ElementsAre("", "t1"));
  std::istringstream lines(process->out());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    EXPECT_EQ(nlohmann::json::parse(line)["kind"], "CHANGED");
  }
  EXPECT_EQ(count, 2);
}

TEST_F(CvmctlTest, WatchEndsAfterItsDuration) {
  script_.watch_instances = [](const agent::v1::WatchInstancesRequest&,
                               const std::function<bool(const agent::v1::InstanceEvent&)>& send,
                               const std::function<bool()>& cancelled) {
    agent::v1::InstanceEvent event;
    event.set_kind(agent::v1::InstanceEvent::SYNCED);
    send(event);
    while (!cancelled()) std::this_thread::yield();
    return absl::OkStatus();
  };
  const Outcome outcome = Run({"instance", "watch", "--duration", "1s"});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("SYNCED"));
}

TEST_F(CvmctlTest, ShowsTheProgressInPlaceOnATerminal) {
  script_.start_instance = [](const auto&) {
    return MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING);
  };
  script_.watch_operation =
      Sends({MakeOperation(Operation::START_INSTANCE, kId, Operation::OPERATING, 10, "defining"),
             MakeOperation(Operation::START_INSTANCE, kId, Operation::SUCCESS, 100, "starting")});
  const auto process =
      Start({"instance", "start", kId, "--wait"}, Process::Terminal::kInputAndErrors);
  EXPECT_EQ(process->Wait(), 0);
  EXPECT_THAT(process->err(),
              HasSubstr("\rSTART_INSTANCE ins-00000001: defining   10%  0:00\x1b[K\r"));
  EXPECT_THAT(process->err(), ::testing::EndsWith("\r\x1b[K"));
}

}  // namespace
}  // namespace cvm::cli
