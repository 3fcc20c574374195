// SPDX-License-Identifier: Apache-2.0
//
// The whole driver on libvirt's test driver, which lives in the process: connection, events, calls,
// deadlines. Its one domain is called "test". It takes only domains of its own type, so that the
// rest is for tests/contract.
#include <libvirt/libvirt.h>

#include <chrono>
#include <csignal>
#include <future>
#include <thread>

#include "common/errors.h"
#include "drivers/hypervisor/libvirt/call_lane.h"
#include "drivers/hypervisor/libvirt/connection.h"
#include "drivers/hypervisor/libvirt/event_loop.h"
#include "drivers/hypervisor/libvirt/libvirt_hypervisor.h"
#include "gtest/gtest.h"
#include "tests/unit/drivers/hypervisor/domain_specs.h"

namespace cvm::hypervisor {
namespace {

using Kind = HypervisorEvent::Kind;
constexpr ErrorReason kUnavailable = ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE;

LibvirtOptions TestOptions() {
  LibvirtOptions options;
  options.uri = "test:///default";
  options.reconnect_min = absl::Milliseconds(10);
  return options;
}

// Thread-safe.
class Events {
 public:
  std::function<void(const HypervisorEvent&)> Handler() {
    return [this](const HypervisorEvent& event) {
      MutexLock lock(mutex_);
      events_.push_back(event);
      changed_.NotifyAll();
    };
  }
  // The first event of the kind, removed with all before it.
  HypervisorEvent Take(Kind kind) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    MutexLock lock(mutex_);
    while (std::chrono::steady_clock::now() < until) {
      while (!events_.empty()) {
        const HypervisorEvent event = events_.front();
        events_.erase(events_.begin());
        if (event.kind == kind) return event;
      }
      changed_.WaitFor(mutex_, std::chrono::seconds(1));
    }
    ADD_FAILURE() << "no event of kind " << static_cast<int>(kind);
    HypervisorEvent none;
    none.domains.resize(1);
    return none;
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  std::vector<HypervisorEvent> events_ CVM_GUARDED_BY(mutex_);
};

class TestDriver : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(EnsureEventLoop().ok());
    hypervisor_ = MakeLibvirtHypervisor(TestOptions());
    hypervisor_->Start(events_.Handler());
    const HypervisorEvent connected = events_.Take(Kind::kConnected);
    ASSERT_EQ(connected.domains.size(), 1u);
    EXPECT_EQ(connected.domains[0].name, "test");
    EXPECT_EQ(connected.domains[0].state, PowerState::kRunning);
    uuid_ = connected.domains[0].uuid;
  }

  Events events_;
  std::string uuid_;
  std::unique_ptr<Hypervisor> hypervisor_;
};

// The test driver forgets all when its last connection closes, so that each test begins anew.

TEST_F(TestDriver, DestroysStartsAndUndefines) {
  EXPECT_TRUE(hypervisor_->GetHostInfo().ok());
  ASSERT_EQ(hypervisor_->DestroyDomain(uuid_), absl::OkStatus());
  HypervisorEvent event = events_.Take(Kind::kDomainState);
  EXPECT_EQ(event.domains[0].state, PowerState::kStopped);
  EXPECT_EQ(event.domains[0].reason, "destroyed");
  EXPECT_EQ(hypervisor_->GetDomain(uuid_)->state, PowerState::kStopped);
  EXPECT_EQ(hypervisor_->DestroyDomain(uuid_), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(uuid_), absl::OkStatus());
  EXPECT_EQ(hypervisor_->StartDomain(uuid_), absl::OkStatus());
  // The same state may be told twice, by libvirt's event and by a call that looked.
  do {
    event = events_.Take(Kind::kDomainState);
  } while (event.domains[0].state == PowerState::kStopped &&
           event.domains[0].reason == "destroyed");
  EXPECT_EQ(event.domains[0].state, PowerState::kRunning);
  EXPECT_EQ(ReasonOf(hypervisor_->UndefineDomain(uuid_)),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  ASSERT_EQ(hypervisor_->ShutdownDomain(uuid_), absl::OkStatus());
  ASSERT_EQ(hypervisor_->UndefineDomain(uuid_), absl::OkStatus());
  EXPECT_EQ(events_.Take(Kind::kDomainGone).domains[0].uuid, uuid_);
  EXPECT_EQ(hypervisor_->UndefineDomain(uuid_), absl::OkStatus());
  EXPECT_TRUE(hypervisor_->ListDomains()->empty());
  EXPECT_EQ(ReasonOf(hypervisor_->GetDomain(uuid_).status()),
            ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
}

TEST_F(TestDriver, ReadsItsOwnMetadataOnly) {
  EXPECT_EQ(hypervisor_->GetDomainMetadata(uuid_).status().code(), absl::StatusCode::kNotFound);
  const ConnectHandle connection(virConnectOpen("test:///default"));
  const DomainHandle domain(virDomainLookupByUUIDString(connection.get(), uuid_.c_str()));
  ASSERT_EQ(virDomainSetMetadata(domain.get(), VIR_DOMAIN_METADATA_ELEMENT,
                                 "<instance>a &lt; b</instance>", "cvm", "urn:cvm:agent:1", 0),
            0);
  const auto metadata = hypervisor_->GetDomainMetadata(uuid_);
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(*metadata, "a < b");
}

TEST_F(TestDriver, CallsFromManyThreads) {
  std::vector<std::thread> threads;
  std::atomic<int> succeeded = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 20; ++k) {
        if (hypervisor_->GetDomain(uuid_).ok() && hypervisor_->ListDomains().ok()) ++succeeded;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(succeeded, 160);
}

TEST_F(TestDriver, RefusesADomainOfAnotherType) {
  const absl::Status status = hypervisor_->DefineDomain(PlainSpec());
  EXPECT_FALSE(status.ok());
}

TEST(TestDriverConnection, TriesAgainUntilItConnects) {
  LibvirtOptions options = TestOptions();
  options.uri = "test:///nowhere/at/all.xml";
  Events events;
  const auto hypervisor = MakeLibvirtHypervisor(options);
  hypervisor->Start(events.Handler());
  const HypervisorEvent lost = events.Take(Kind::kDisconnected);
  EXPECT_FALSE(lost.message.empty());
  EXPECT_EQ(lost.unanswered, absl::InfiniteDuration());
  EXPECT_EQ(hypervisor->SinceLastAnswer(), absl::InfiniteDuration());
  EXPECT_EQ(lost.message.find("/nowhere"), std::string::npos) << lost.message;
  EXPECT_EQ(ReasonOf(hypervisor->ListDomains().status()), kUnavailable);
  EXPECT_EQ(ReasonOf(hypervisor->GetHostInfo().status()), kUnavailable);
  hypervisor->Stop();
}

TEST(TestDriverConnection, MakesTheProcessSurviveABrokenPipe) {
  ASSERT_TRUE(EnsureEventLoop().ok());
  struct sigaction action = {};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &action), 0);
  EXPECT_EQ(action.sa_handler, SIG_IGN);
}

TEST(TestDriverConnection, NeverStartedIsUnavailableAndStopsAtOnce) {
  const auto hypervisor = MakeLibvirtHypervisor(TestOptions());
  EXPECT_EQ(ReasonOf(hypervisor->ListDomains().status()), kUnavailable);
  EXPECT_EQ(ReasonOf(hypervisor->DefineDomain(PlainSpec())), kUnavailable);
  hypervisor->Stop();
  hypervisor->Stop();
}

class CallLaneTest : public testing::Test {
 protected:
  CallLaneTest() {
    LibvirtOptions options = TestOptions();
    options.max_pending = 2;
    options.stop_grace = absl::Milliseconds(20);
    state_ = std::make_shared<ConnectionState>(options);
    state_->generation = 1;
    lane_ = std::make_unique<CallLane>(state_, 1);
  }

  // Occupies the worker until the promise is kept.
  std::shared_ptr<std::promise<void>> Occupy() {
    auto release = std::make_shared<std::promise<void>>();
    std::promise<void> begun;
    EXPECT_TRUE(lane_->Post([&begun, release](const absl::StatusOr<virConnectPtr>&) {
      begun.set_value();
      release->get_future().wait();
    }));
    begun.get_future().wait();
    return release;
  }

  std::shared_ptr<ConnectionState> state_;
  std::unique_ptr<CallLane> lane_;
};

TEST_F(CallLaneTest, GivesTheWorkAConnection) {
  const auto alive = lane_->Call(absl::Seconds(60), [](virConnectPtr c) -> absl::StatusOr<int> {
    return virConnectIsAlive(c);
  });
  ASSERT_TRUE(alive.ok()) << alive.status();
  EXPECT_EQ(*alive, 1);
}

TEST_F(CallLaneTest, ReturnsAtTheDeadlineAndDropsTheLateResult) {
  auto release = std::make_shared<std::promise<void>>();
  auto owned = std::make_shared<int>(7);
  const auto result =
      lane_->Call(absl::Milliseconds(20), [release, owned](virConnectPtr) -> absl::StatusOr<int> {
        release->get_future().wait();
        return *owned;
      });
  EXPECT_EQ(ReasonOf(result.status()), kUnavailable);
  release->set_value();
  // The worker is free again.
  EXPECT_EQ(lane_->Call(absl::Seconds(60), [](virConnectPtr) { return absl::OkStatus(); }),
            absl::OkStatus());
}

TEST_F(CallLaneTest, DoesNotBeginWorkWhoseCallerIsGone) {
  const auto release = Occupy();
  auto began = std::make_shared<std::atomic<bool>>(false);
  EXPECT_EQ(ReasonOf(lane_->Call(absl::Milliseconds(20),
                                 [began](virConnectPtr) {
                                   *began = true;
                                   return absl::OkStatus();
                                 })),
            kUnavailable);
  release->set_value();
  EXPECT_EQ(lane_->Call(absl::Seconds(60), [](virConnectPtr) { return absl::OkStatus(); }),
            absl::OkStatus());
  EXPECT_FALSE(*began);
}

TEST_F(CallLaneTest, RefusesMoreThanMayWait) {
  const auto release = Occupy();
  std::promise<void> ran;
  EXPECT_TRUE(lane_->Post([](const absl::StatusOr<virConnectPtr>&) {}));
  EXPECT_TRUE(lane_->Post([&ran](const absl::StatusOr<virConnectPtr>&) { ran.set_value(); }));
  EXPECT_EQ(
      ReasonOf(lane_->Call(absl::Seconds(60), [](virConnectPtr) { return absl::OkStatus(); })),
      kUnavailable);
  release->set_value();
  ran.get_future().wait();
}

TEST_F(CallLaneTest, StopsInTimeThoughAWorkerHangs) {
  const auto release = Occupy();
  std::promise<absl::Status> waiting;
  EXPECT_TRUE(lane_->Post([&waiting](const absl::StatusOr<virConnectPtr>& connection) {
    waiting.set_value(connection.status());
  }));
  lane_->Stop(absl::Milliseconds(20));
  EXPECT_EQ(ReasonOf(waiting.get_future().get()), kUnavailable);
  EXPECT_FALSE(lane_->Post([](const absl::StatusOr<virConnectPtr>&) {}));
  lane_.reset();
  release->set_value();
}

TEST_F(CallLaneTest, HasNoConnectionWhileThereIsNone) {
  state_->generation = 0;
  EXPECT_EQ(
      ReasonOf(lane_->Call(absl::Seconds(60), [](virConnectPtr) { return absl::OkStatus(); })),
      kUnavailable);
  state_->generation = 2;
  EXPECT_EQ(lane_->Call(absl::Seconds(60), [](virConnectPtr) { return absl::OkStatus(); }),
            absl::OkStatus());
}

}  // namespace
}  // namespace cvm::hypervisor
