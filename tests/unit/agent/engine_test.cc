// SPDX-License-Identifier: Apache-2.0
//
// The engine with workflows of the tests' own.
#include "agent/core/operation_engine.h"

#include <atomic>
#include <chrono>

#include "common/errors.h"
#include "common/sqlite.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm::agent::core {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using v1::Operation;

// Opens once, for one that waits.
class Gate {
 public:
  void Open() {
    MutexLock lock(mutex_);
    open_ = true;
    changed_.NotifyAll();
  }
  void Enter() {
    MutexLock lock(mutex_);
    entered_ = true;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mutex_);
  }
  void WaitEntered() {
    MutexLock lock(mutex_);
    while (!entered_) changed_.Wait(mutex_);
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  bool open_ CVM_GUARDED_BY(mutex_) = false;
  bool entered_ CVM_GUARDED_BY(mutex_) = false;
};

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() { Start(); }
  ~EngineTest() override { engine_ = nullptr; }

  void Start() {
    engine_ = nullptr;
    ledger_ = nullptr;
    store_ = *Store::Open(path_);
    ledger_ = std::make_unique<Ledger>(*store_);
    ASSERT_TRUE(ledger_->Load(clock_.Now()).ok());
    engine_ = std::make_unique<OperationEngine>(
        *ledger_, clock_, *random_, [this](const store::OperationRecord&) { return workflow_; },
        [](const store::OperationRecord&) { return Lane::kNormal; },
        EngineOptions{.normal_workers = 2,
                      .urgent_workers = 1,
                      .bulk_workers = 1,
                      .hypervisor_grace = absl::Minutes(2),
                      .request_key = "key",
                      .crash_hook = nullptr});
    ASSERT_TRUE(engine_->Resume().ok());
  }

  absl::StatusOr<Operation> Submit(const std::string& target = "ins-00000001") {
    v1::StartInstanceRequest request;
    request.set_instance_id(target);
    return engine_->Submit(Caller{.scope = "t"}, request, "", false, [&]() -> absl::StatusOr<Plan> {
      Plan plan;
      plan.action = Operation::START_INSTANCE;
      plan.target_id = target;
      plan.request = std::make_unique<v1::StartInstanceRequest>(request);
      return plan;
    });
  }

  Operation Get(const std::string& id) { return *engine_->Get(id); }

  bool WaitFor(const std::function<bool()>& condition, absl::Duration step = absl::ZeroDuration()) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    Mutex mutex;
    CondVar never;
    MutexLock lock(mutex);
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      if (step > absl::ZeroDuration()) {
        clock_.Advance(step);
        engine_->CheckTimers();
      }
      never.WaitFor(mutex, std::chrono::milliseconds(1));
    }
    return true;
  }

  Operation WaitEnd(const std::string& id, absl::Duration step = absl::ZeroDuration()) {
    EXPECT_TRUE(WaitFor([&] { return Get(id).state() != Operation::OPERATING; }, step));
    return Get(id);
  }

  bool WaitRetrying(const std::string& id) {
    return WaitFor([&] { return Get(id).stage().find("trying again") != std::string::npos; });
  }

  // A step that does what it is told and notes what was done to it.
  Step MakeStep(const std::string& name, uint32_t percent,
                const std::function<absl::StatusOr<StepResult>(StepContext&)>& run = nullptr) {
    return {.name = name,
            .percent = percent,
            .should_run = nullptr,
            .run = [this, name, run](StepContext& context) -> absl::StatusOr<StepResult> {
              Note("run " + name);
              if (run) return run(context);
              return StepResult::Done();
            },
            .undo =
                [this, name](StepContext&) {
                  Note("undo " + name);
                  return absl::OkStatus();
                },
            .forward_only = false};
  }

  static absl::Status Broken(ErrorReason reason = ErrorReason::ERROR_REASON_HYPERVISOR_ERROR) {
    return Error(reason, "broken");
  }

  void Note(const std::string& what) {
    MutexLock lock(mutex_);
    done_.push_back(what);
  }
  std::vector<std::string> done() {
    MutexLock lock(mutex_);
    return done_;
  }

  TemporaryFolder folder_;
  const std::string path_ = folder_.File("state.db");
  FakeClock clock_;
  const std::unique_ptr<Random> random_ = MakeSeededRandom(7);
  std::unique_ptr<Store> store_;
  std::unique_ptr<Ledger> ledger_;
  Workflow workflow_;
  std::unique_ptr<OperationEngine> engine_;
  Mutex mutex_;
  std::vector<std::string> done_ CVM_GUARDED_BY(mutex_);
};

TEST_F(EngineTest, RunsTheStepsInOrder) {
  workflow_.steps = {MakeStep("a", 10), MakeStep("b", 50), MakeStep("c", 100)};
  workflow_.steps[1].should_run = [](StepContext&) { return false; };
  const Operation operation = WaitEnd(Submit()->id());
  EXPECT_EQ(operation.state(), Operation::SUCCESS);
  EXPECT_THAT(done(), ElementsAre("run a", "run c"));
  EXPECT_EQ(operation.percent(), 100u);
  // What it held is forgotten at its end.
  const auto record = store_->LoadOperation(operation.id());
  EXPECT_FALSE(record->has_request());
  EXPECT_TRUE(record->notes().empty());
  EXPECT_TRUE(WaitFor([&] { return engine_->ActiveCount() == 0; }));
}

TEST_F(EngineTest, UndoesLastFirstFromTheFailedStepOn) {
  workflow_.steps = {MakeStep("a", 10), MakeStep("b", 50, [](StepContext&) { return Broken(); }),
                     MakeStep("c", 100)};
  workflow_.on_failed = [this](LedgerChange& change) {
    Note("on_failed");
    v1::Image image;
    image.set_id("img-failed00");
    change.put_images.push_back(image);
  };
  const Operation operation = WaitEnd(Submit()->id());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_EQ(ReasonOf(FromProto(operation.error())), ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_THAT(done(), ElementsAre("run a", "run b", "undo b", "undo a", "on_failed"));
  EXPECT_TRUE(ledger_->images().Find("img-failed00").has_value());
}

TEST_F(EngineTest, TriesAnUndoUntilItWorks) {
  workflow_.steps = {MakeStep("a", 100, [](StepContext&) { return Broken(); })};
  std::atomic<int> undone = 0;
  workflow_.steps[0].undo = [&](StepContext&) {
    return ++undone < 4 ? absl::InternalError("no") : absl::OkStatus();
  };
  const auto submitted = Submit();
  ASSERT_TRUE(WaitRetrying(submitted->id()));
  EXPECT_TRUE(Get(submitted->id()).undoing());
  EXPECT_EQ(undone, 1);
  EXPECT_EQ(WaitEnd(submitted->id(), absl::Seconds(1)).state(), Operation::FAILED);
  EXPECT_EQ(undone, 4);
}

TEST_F(EngineTest, TriesAForwardOnlyStepUntilItWorksAndTakesNoCancelThere) {
  workflow_.steps = {MakeStep("a", 10), MakeStep("b", 100)};
  std::atomic<int> tried = 0;
  workflow_.steps[1].forward_only = true;
  workflow_.steps[1].run = [&](StepContext&) -> absl::StatusOr<StepResult> {
    if (++tried < 8) return Broken();
    return StepResult::Done();
  };
  const auto submitted = Submit();
  ASSERT_TRUE(WaitRetrying(submitted->id()));
  EXPECT_EQ(ReasonOf(engine_->Cancel(submitted->id(), false).status()),
            ErrorReason::ERROR_REASON_OPERATION_NOT_CANCELLABLE);
  EXPECT_EQ(WaitEnd(submitted->id(), absl::Seconds(5)).state(), Operation::SUCCESS);
  EXPECT_EQ(tried, 8);
}

TEST_F(EngineTest, CancelsAStepThatLooks) {
  Gate entered;
  entered.Open();
  workflow_.steps = {MakeStep("a", 10), MakeStep("b", 50, [&](StepContext& context) {
                       entered.Enter();
                       EXPECT_TRUE(WaitFor([&] { return context.Cancelled(); }));
                       return absl::StatusOr<StepResult>(absl::CancelledError("as it is told"));
                     })};
  const auto submitted = Submit();
  entered.WaitEntered();
  // A dry run changes nothing.
  EXPECT_FALSE(engine_->Cancel(submitted->id(), true)->cancel_requested());
  EXPECT_TRUE(engine_->Cancel(submitted->id(), false)->cancel_requested());
  EXPECT_TRUE(engine_->Cancel(submitted->id(), false).ok() || Get(submitted->id()).undoing() ||
              Get(submitted->id()).has_end_time());
  const Operation operation = WaitEnd(submitted->id());
  EXPECT_EQ(operation.state(), Operation::FAILED);
  EXPECT_TRUE(operation.cancel_requested());
  EXPECT_EQ(ReasonOf(FromProto(operation.error())), ErrorReason::ERROR_REASON_OPERATION_CANCELLED);
  EXPECT_THAT(done(), ElementsAre("run a", "run b", "undo b", "undo a"));
  EXPECT_EQ(ReasonOf(engine_->Cancel(submitted->id(), false).status()),
            ErrorReason::ERROR_REASON_OPERATION_NOT_CANCELLABLE);
  EXPECT_EQ(ReasonOf(engine_->Cancel("op-none0000", false).status()),
            ErrorReason::ERROR_REASON_OPERATION_NOT_FOUND);
  EXPECT_EQ(ReasonOf(engine_->Cancel("none", false).status()),
            ErrorReason::ERROR_REASON_MALFORMED_ID);
}

TEST_F(EngineTest, CancelsBetweenStepsButNotAtTheLast) {
  Gate gate;
  workflow_.steps = {MakeStep("a", 10,
                              [&](StepContext&) {
                                gate.Enter();
                                return absl::StatusOr<StepResult>(StepResult::Done());
                              }),
                     MakeStep("b", 100)};
  const auto submitted = Submit();
  gate.WaitEntered();
  ASSERT_TRUE(engine_->Cancel(submitted->id(), false).ok());
  gate.Open();
  EXPECT_EQ(WaitEnd(submitted->id()).state(), Operation::FAILED);
  EXPECT_THAT(done(), ElementsAre("run a", "undo b", "undo a"));
}

TEST_F(EngineTest, GoesOnPastACancelThatCameTooLate) {
  Gate gate;
  workflow_.steps = {MakeStep("a", 100, [&](StepContext&) {
    gate.Enter();
    return absl::StatusOr<StepResult>(StepResult::Done());
  })};
  const auto submitted = Submit();
  gate.WaitEntered();
  ASSERT_TRUE(engine_->Cancel(submitted->id(), false).ok());
  gate.Open();
  const Operation operation = WaitEnd(submitted->id());
  EXPECT_EQ(operation.state(), Operation::SUCCESS);
  EXPECT_TRUE(operation.cancel_requested());
}

TEST_F(EngineTest, CancelsAWaitingStepAtOnce) {
  workflow_.steps = {
      MakeStep("a", 100, [](StepContext&) { return StepResult::WaitAtMost(absl::Hours(1)); })};
  const auto submitted = Submit();
  ASSERT_TRUE(WaitFor([&] { return !done().empty(); }));
  ASSERT_TRUE(engine_->Cancel(submitted->id(), false).ok());
  EXPECT_EQ(WaitEnd(submitted->id()).state(), Operation::FAILED);
}

TEST_F(EngineTest, RunsAWaitingStepAgainWhenWokenOrWhenItsTimeHasCome) {
  std::atomic<bool> there = false;
  workflow_.steps = {MakeStep("a", 100, [&](StepContext&) {
    return there ? StepResult::Done() : StepResult::WaitAtMost(absl::Seconds(10));
  })};
  const auto submitted = Submit();
  ASSERT_TRUE(WaitFor([&] { return done().size() == 1; }));
  engine_->Wake("ins-another0");
  engine_->Wake("ins-00000001");
  ASSERT_TRUE(WaitFor([&] { return done().size() == 2; }));
  ASSERT_TRUE(WaitFor([&] { return done().size() >= 3; }, absl::Seconds(1)));
  there = true;
  engine_->WakeAll();
  EXPECT_EQ(WaitEnd(submitted->id()).state(), Operation::SUCCESS);
}

TEST_F(EngineTest, HoldsNoThreadWhileStepsWait) {
  std::atomic<bool> there = false;
  workflow_.steps = {MakeStep("a", 100, [&](StepContext&) {
    return there ? StepResult::Done() : StepResult::WaitAtMost(absl::Hours(1));
  })};
  // Many more than there are workers.
  std::vector<std::string> ids;
  for (int i = 10; i < 30; ++i) ids.push_back(Submit("ins-000000" + std::to_string(i))->id());
  ASSERT_TRUE(WaitFor([&] { return done().size() >= ids.size(); }));
  EXPECT_EQ(engine_->ActiveCount(), ids.size());
  there = true;
  engine_->WakeAll();
  for (const std::string& id : ids) EXPECT_EQ(WaitEnd(id).state(), Operation::SUCCESS);
}

TEST_F(EngineTest, KeepsNotesAcrossARestart) {
  workflow_.steps = {MakeStep("a", 100, [&](StepContext& context) -> absl::StatusOr<StepResult> {
    if (context.Note("seen") == "yes") return StepResult::Done();
    context.SetNote("seen", "yes");
    return StepResult::WaitAtMost(absl::Hours(1));
  })};
  const std::string id = Submit()->id();
  ASSERT_TRUE(WaitFor([&] { return store_->LoadOperation(id)->notes().contains("seen"); }));
  Start();
  EXPECT_EQ(WaitEnd(id).state(), Operation::SUCCESS);
}

TEST_F(EngineTest, TellsObserversEveryStateInOrderWithProgressThatNeverGoesBack) {
  Gate gate;
  workflow_.steps = {MakeStep("a", 40,
                              [&](StepContext& context) {
                                gate.Enter();
                                for (double f : {0.5, 0.25, 0.75, 2.0, -1.0}) context.Progress(f);
                                return absl::StatusOr<StepResult>(StepResult::Done());
                              }),
                     MakeStep("b", 100)};
  const auto submitted = Submit();
  gate.WaitEntered();
  std::vector<Operation> seen;
  Mutex mutex;
  const auto observation = engine_->Observe(submitted->id(), [&](const Operation& operation) {
    MutexLock lock(mutex);
    seen.push_back(operation);
  });
  ASSERT_TRUE(observation.ok());
  {
    MutexLock lock(mutex);
    ASSERT_EQ(seen.size(), 1u);  // the present state, at once
  }
  gate.Open();
  WaitEnd(submitted->id());
  ASSERT_TRUE(WaitFor([&] {
    MutexLock lock(mutex);
    return seen.back().state() == Operation::SUCCESS;
  }));
  (*observation)->Cancel();
  std::vector<uint32_t> percents;
  for (size_t i = 0; i < seen.size(); ++i) {
    percents.push_back(seen[i].percent());
    if (i > 0) {
      EXPECT_GT(seen[i].revision(), seen[i - 1].revision());
    }
  }
  EXPECT_THAT(percents, ElementsAre(0, 20, 30, 40, 40, 100));
  EXPECT_EQ(seen.back().stage(), "done");
}

TEST_F(EngineTest, ObservesWhatHasEnded) {
  workflow_.steps = {MakeStep("a", 100)};
  const std::string id = Submit()->id();
  WaitEnd(id);
  Operation seen;
  ASSERT_TRUE(engine_->Observe(id, [&](const Operation& operation) { seen = operation; }).ok());
  EXPECT_EQ(seen.state(), Operation::SUCCESS);
  EXPECT_EQ(ReasonOf(engine_->Observe("op-none0000", [](const Operation&) {}).status()),
            ErrorReason::ERROR_REASON_OPERATION_NOT_FOUND);
}

TEST_F(EngineTest, ListsOperationsWithTheProgressWithinTheirStep) {
  Gate gate;
  workflow_.steps = {MakeStep("a", 100, [&](StepContext& context) {
    context.Progress(0.5);
    gate.Enter();
    return absl::StatusOr<StepResult>(StepResult::Done());
  })};
  const auto submitted = Submit();
  gate.WaitEntered();
  const auto list = engine_->List({});
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 1u);
  EXPECT_EQ((*list)[0].percent(), 50u);
  EXPECT_EQ(store_->LoadOperation(submitted->id())->operation().percent(), 0u);
  gate.Open();
  WaitEnd(submitted->id());
}

TEST_F(EngineTest, TakesOneOperationPerTarget) {
  Gate gate;
  workflow_.steps = {MakeStep("a", 100, [&](StepContext&) {
    gate.Enter();
    return absl::StatusOr<StepResult>(StepResult::Done());
  })};
  const auto first = Submit();
  gate.WaitEntered();
  const auto second = Submit();
  EXPECT_EQ(ReasonOf(second.status()), ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
  EXPECT_EQ(ErrorInfoOf(second.status())->metadata().at("operation_id"), first->id());
  const auto elsewhere = Submit("ins-00000002");
  ASSERT_TRUE(elsewhere.ok());
  gate.Open();
  WaitEnd(elsewhere->id());
  WaitEnd(first->id());
  const auto next = Submit();
  ASSERT_TRUE(next.ok()) << next.status();
  WaitEnd(next->id());
}

TEST_F(EngineTest, WaitsForTheHypervisorUpToTheGrace) {
  std::atomic<bool> back = false;
  workflow_.steps = {MakeStep("a", 100, [&](StepContext&) -> absl::StatusOr<StepResult> {
    if (!back) return Broken(ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
    return StepResult::Done();
  })};
  const auto submitted = Submit();
  ASSERT_TRUE(WaitRetrying(submitted->id()));
  back = true;
  engine_->WakeAll();
  EXPECT_EQ(WaitEnd(submitted->id()).state(), Operation::SUCCESS);
  back = false;
  const absl::Time began = clock_.Now();
  const auto failing = Submit();
  EXPECT_EQ(WaitEnd(failing->id(), absl::Seconds(1)).state(), Operation::FAILED);
  EXPECT_GE(clock_.Now() - began, absl::Minutes(2));
}

TEST_F(EngineTest, ShowsNoPathInAnErrorWithoutAReason) {
  workflow_.steps = {
      MakeStep("a", 100, [](StepContext&) { return absl::InternalError("cannot open /secret"); })};
  const Operation operation = WaitEnd(Submit()->id());
  EXPECT_EQ(operation.DebugString().find("/secret"), std::string::npos);
  EXPECT_EQ(ReasonOf(FromProto(operation.error())), ErrorReason::ERROR_REASON_INTERNAL);
}

TEST_F(EngineTest, DoesNotLoseAnOperationWhenTheStoreFails) {
  Gate gate;
  workflow_.steps = {MakeStep("a", 50,
                              [&](StepContext&) {
                                gate.Enter();
                                return absl::StatusOr<StepResult>(StepResult::Done());
                              }),
                     MakeStep("b", 100)};
  const auto submitted = Submit();
  gate.WaitEntered();
  auto other = *Sqlite::Open(path_);
  {
    auto held = SqliteTransaction::Begin(*other);
    ASSERT_TRUE(held.ok());
    // New work is refused, reads go on.
    EXPECT_EQ(ReasonOf(Submit("ins-00000002").status()),
              ErrorReason::ERROR_REASON_STORE_UNAVAILABLE);
    EXPECT_TRUE(engine_->List({}).ok());
    gate.Open();
    ASSERT_TRUE(WaitRetrying(submitted->id()));
    EXPECT_THAT(Get(submitted->id()).stage(), HasSubstr("a (trying again"));
  }
  EXPECT_EQ(WaitEnd(submitted->id(), absl::Seconds(1)).state(), Operation::SUCCESS);
  EXPECT_THAT(done(), ElementsAre("run a", "run a", "run b"));
}

TEST_F(EngineTest, KeepsSecretsOutOfItsRecords) {
  workflow_.steps = {
      MakeStep("a", 100, [](StepContext&) { return StepResult::WaitAtMost(absl::Hours(1)); })};
  v1::CreateInstanceRequest request;
  request.mutable_spec()->mutable_login()->set_password_hash("$6$the-secret");
  request.mutable_spec()->set_user_data("the-secret");
  const auto submitted =
      engine_->Submit(Caller{.scope = "t"}, request, "r", false, [&]() -> absl::StatusOr<Plan> {
        Plan plan;
        plan.action = Operation::CREATE_INSTANCE;
        plan.target_id = "ins-00000001";
        plan.request = std::make_unique<v1::CreateInstanceRequest>(request);
        return plan;
      });
  ASSERT_TRUE(submitted.ok());
  const auto record = store_->LoadOperation(submitted->id());
  EXPECT_EQ(record->SerializeAsString().find("the-secret"), std::string::npos);
}

}  // namespace
}  // namespace cvm::agent::core
