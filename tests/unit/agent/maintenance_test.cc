// SPDX-License-Identifier: Apache-2.0
//
// Maintenance: no guest comes up, and those that are on run on.
#include "agent/core/maintenance.h"

#include "agent/core/host_view.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/agent/agent_harness.h"

namespace cvm::agent::core {
namespace {

using ::testing::HasSubstr;
using v1::Operation;

class MaintenanceTest : public ::testing::Test {
 protected:
  MaintenanceTest() { agent_.ImportBase(); }

  absl::StatusOr<Operation> Submit(bool on, const std::string& reason = "",
                                   const std::string& request_id = "") {
    v1::SetMaintenanceRequest request;
    request.set_request_id(request_id);
    request.set_on(on);
    request.set_reason(reason);
    return agent_.hosts().SetMaintenance(agent_.caller, request);
  }
  void Set(bool on, const std::string& reason = "") {
    EXPECT_EQ(agent_.Run(Submit(on, reason)).state(), Operation::SUCCESS);
  }
  v1::Host::Maintenance Shown() { return HostView(agent_.core(), "1").Get()->maintenance(); }

  template <class Request>
  Request For(const std::string& id) {
    Request request;
    request.set_instance_id(id);
    return request;
  }

  AgentHarness agent_;
};

TEST_F(MaintenanceTest, LetsNoGuestComeUpAndThoseThatAreOnRunOn) {
  agent_.MakeInstance("ins-00000001");
  agent_.MakeInstance("ins-00000002", false);
  Set(true, "new disks");
  const absl::Status create =
      agent_.instances().Create(agent_.caller, agent_.CreateRequest("ins-00000003")).status();
  EXPECT_EQ(ReasonOf(create), ErrorReason::ERROR_REASON_HOST_IN_MAINTENANCE);
  EXPECT_THAT(std::string(create.message()), HasSubstr("new disks"));
  const auto start = For<v1::StartInstanceRequest>("ins-00000002");
  EXPECT_EQ(ReasonOf(agent_.instances().Start(agent_.caller, start).status()),
            ErrorReason::ERROR_REASON_HOST_IN_MAINTENANCE);
  EXPECT_EQ(agent_.Find("ins-00000002")->wanted_power(), v1::WANTED_POWER_OFF);

  EXPECT_EQ(agent_.StateOf("ins-00000001"), v1::RUNNING);
  auto reboot = For<v1::RebootInstanceRequest>("ins-00000001");
  reboot.set_mode(v1::STOP_MODE_HARD);
  EXPECT_EQ(agent_.Run(agent_.instances().Reboot(agent_.caller, reboot)).state(),
            Operation::SUCCESS);
  auto stop = For<v1::StopInstanceRequest>("ins-00000001");
  stop.set_mode(v1::STOP_MODE_HARD);
  EXPECT_EQ(agent_.Run(agent_.instances().Stop(agent_.caller, stop)).state(), Operation::SUCCESS);

  Set(false);
  EXPECT_EQ(agent_.Run(agent_.instances().Start(agent_.caller, start)).state(), Operation::SUCCESS);
  agent_.MakeInstance("ins-00000003");
}

TEST_F(MaintenanceTest, IsShownAndOutlivesTheAgent) {
  EXPECT_FALSE(Shown().on());
  EXPECT_FALSE(Shown().has_since());
  Set(true, "new disks");
  const v1::Host::Maintenance shown = Shown();
  EXPECT_TRUE(shown.on());
  EXPECT_EQ(shown.reason(), "new disks");
  EXPECT_EQ(FromTimestamp(shown.since()), agent_.clock.Now());

  // Another reason is no new beginning.
  agent_.Advance(absl::Minutes(1));
  Set(true, "new memory");
  EXPECT_EQ(Shown().reason(), "new memory");
  EXPECT_EQ(FromTimestamp(Shown().since()), FromTimestamp(shown.since()));
  agent_.Restart();
  EXPECT_EQ(Shown().reason(), "new memory");
  EXPECT_EQ(
      ReasonOf(
          agent_.instances().Create(agent_.caller, agent_.CreateRequest("ins-00000001")).status()),
      ErrorReason::ERROR_REASON_HOST_IN_MAINTENANCE);
  Set(false);
  EXPECT_FALSE(Shown().on());
  EXPECT_TRUE(Shown().reason().empty());
  EXPECT_EQ(FromTimestamp(Shown().since()), agent_.clock.Now());
}

TEST_F(MaintenanceTest, IsAmongTheDeniedActions) {
  agent_.MakeInstance("ins-00000001", false);
  const auto reason_of = [&](Operation::Action action) -> std::string {
    for (const v1::DeniedAction& denied : agent_.instances().Denied(*agent_.Find("ins-00000001"))) {
      if (denied.action() == action) return denied.reason();
    }
    return "";
  };
  EXPECT_EQ(reason_of(Operation::START_INSTANCE), "");
  Set(true);
  EXPECT_EQ(reason_of(Operation::START_INSTANCE), "HOST_IN_MAINTENANCE");
  EXPECT_EQ(reason_of(Operation::DELETE_INSTANCE), "");
  Set(false);
  agent_.MakeInstance("ins-00000002");
  Set(true);
  // The state is the first reason.
  for (const v1::DeniedAction& denied : agent_.instances().Denied(*agent_.Find("ins-00000002"))) {
    EXPECT_NE(denied.reason(), "HOST_IN_MAINTENANCE");
  }
}

TEST_F(MaintenanceTest, IsAnOperationLikeAnyOther) {
  const auto first = Submit(true, "x", "once");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->target_id(), "host");
  EXPECT_EQ(first->action(), Operation::SET_MAINTENANCE);
  agent_.WaitEnd(first->id());
  EXPECT_EQ(Submit(true, "x", "once")->id(), first->id());
  EXPECT_EQ(ReasonOf(Submit(false, "", "once").status()),
            ErrorReason::ERROR_REASON_REQUEST_ID_REUSED);

  v1::SetMaintenanceRequest dry;
  dry.set_validate_only(true);
  EXPECT_TRUE(agent_.hosts().SetMaintenance(agent_.caller, dry)->validate_only());
  EXPECT_TRUE(Shown().on());
}

TEST_F(MaintenanceTest, RefusesBadInput) {
  EXPECT_EQ(ReasonOf(Submit(true, std::string(256, 'x')).status()),
            ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(ReasonOf(Submit(true, "two\nlines").status()), ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(ReasonOf(Submit(false, "why").status()), ErrorReason::ERROR_REASON_INVALID_FIELD);
  EXPECT_FALSE(Shown().on());
}

TEST_F(MaintenanceTest, ASettingThatCannotBeReadLetsNoGuestComeUp) {
  LedgerChange change;
  change.put_settings.emplace_back(kMaintenanceSetting, "\xff\xff");
  ASSERT_TRUE(agent_.ledger().Commit(change).ok());
  EXPECT_EQ(ReasonOf(CheckMaintenance(agent_.core())),
            ErrorReason::ERROR_REASON_HOST_IN_MAINTENANCE);
  Set(false);
  EXPECT_TRUE(CheckMaintenance(agent_.core()).ok());
}

}  // namespace
}  // namespace cvm::agent::core
