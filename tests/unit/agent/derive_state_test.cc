// SPDX-License-Identifier: Apache-2.0
#include "agent/core/derive_state.h"

#include <map>

#include "gtest/gtest.h"

namespace cvm::agent::core {
namespace {

using v1::ObservedPower;
using v1::Operation;

template <class Visit>
void ForEachValue(const google::protobuf::EnumDescriptor* type, Visit visit) {
  for (int i = 0; i < type->value_count(); ++i) visit(type->value(i)->number());
}

// The specification, written down a second time and in another way than the code.
v1::InstanceState Expected(v1::Lifecycle lifecycle, Operation::Action action,
                           Operation::State state, ObservedPower::State power, bool rescue) {
  static const std::map<Operation::Action, v1::InstanceState> kUnderWay = {
      {Operation::CREATE_INSTANCE, v1::PENDING},
      {Operation::CLONE_INSTANCE, v1::PENDING},
      {Operation::ADOPT_INSTANCE, v1::PENDING},
      {Operation::DELETE_INSTANCE, v1::TERMINATING},
      {Operation::START_INSTANCE, v1::STARTING},
      {Operation::STOP_INSTANCE, v1::STOPPING},
      {Operation::REBOOT_INSTANCE, v1::REBOOTING},
      {Operation::RESIZE_INSTANCE, v1::RESIZING},
      {Operation::REINSTALL_INSTANCE, v1::REINSTALLING},
  };
  static const std::map<ObservedPower::State, v1::InstanceState> kSeen = {
      {ObservedPower::RUNNING, v1::RUNNING},  {ObservedPower::PAUSED, v1::PAUSED},
      {ObservedPower::SUSPENDED, v1::PAUSED}, {ObservedPower::STOPPED, v1::STOPPED},
      {ObservedPower::CRASHED, v1::STOPPED},  {ObservedPower::ABSENT, v1::STOPPED},
      {ObservedPower::UNKNOWN, v1::UNKNOWN},  {ObservedPower::STATE_UNSPECIFIED, v1::UNKNOWN},
  };
  if (state == Operation::OPERATING && kUnderWay.contains(action)) return kUnderWay.at(action);
  if (lifecycle == v1::LIFECYCLE_LAUNCH_FAILED) return v1::LAUNCH_FAILED;
  if (lifecycle == v1::LIFECYCLE_DELETED) return v1::TERMINATING;
  if (lifecycle == v1::LIFECYCLE_RECYCLED) return v1::SHUTDOWN;
  if (rescue && kSeen.at(power) != v1::UNKNOWN) return v1::RESCUE;
  return kSeen.at(power);
}

TEST(DeriveState, FollowsTheTableForEveryCombination) {
  int combinations = 0;
  ForEachValue(v1::Lifecycle_descriptor(), [&](int lifecycle) {
    ForEachValue(Operation::Action_descriptor(), [&](int action) {
      ForEachValue(Operation::State_descriptor(), [&](int state) {
        ForEachValue(ObservedPower::State_descriptor(), [&](int power) {
          for (const bool rescue : {false, true}) {
            v1::Instance instance;
            if (rescue) instance.mutable_rescue();
            instance.set_lifecycle(static_cast<v1::Lifecycle>(lifecycle));
            instance.mutable_latest_operation()->set_action(static_cast<Operation::Action>(action));
            instance.mutable_latest_operation()->set_state(static_cast<Operation::State>(state));
            instance.mutable_observed_power()->set_state(static_cast<ObservedPower::State>(power));
            EXPECT_EQ(DeriveState(instance),
                      Expected(instance.lifecycle(), instance.latest_operation().action(),
                               instance.latest_operation().state(),
                               instance.observed_power().state(), rescue))
                << instance.ShortDebugString();
            ++combinations;
          }
        });
      });
    });
  });
  EXPECT_GE(combinations, 5 * 25 * 4 * 8 * 2);
}

TEST(DeriveState, HoldsResourcesWhilePresentOrRecycled) {
  v1::Instance instance;
  for (const auto& [lifecycle, holds] :
       std::map<v1::Lifecycle, bool>{{v1::LIFECYCLE_PRESENT, true},
                                     {v1::LIFECYCLE_RECYCLED, true},
                                     {v1::LIFECYCLE_DELETED, false},
                                     {v1::LIFECYCLE_LAUNCH_FAILED, false}}) {
    instance.set_lifecycle(lifecycle);
    EXPECT_EQ(HoldsResources(instance), holds) << v1::Lifecycle_Name(lifecycle);
  }
}

TEST(DeriveState, HasADomainUnlessItWasLastSeenAbsent) {
  v1::Instance instance;
  instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
  ObservedPower& power = *instance.mutable_observed_power();
  power.set_state(ObservedPower::STOPPED);
  EXPECT_TRUE(HasDomain(instance));
  power.set_state(ObservedPower::ABSENT);
  EXPECT_FALSE(HasDomain(instance));
  power.set_state(ObservedPower::UNKNOWN);
  power.set_last_known(ObservedPower::ABSENT);
  EXPECT_FALSE(HasDomain(instance));
  power.set_last_known(ObservedPower::RUNNING);
  EXPECT_TRUE(HasDomain(instance));
  instance.set_lifecycle(v1::LIFECYCLE_LAUNCH_FAILED);
  EXPECT_FALSE(HasDomain(instance));
}

}  // namespace
}  // namespace cvm::agent::core
