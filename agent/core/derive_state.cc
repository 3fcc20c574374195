// SPDX-License-Identifier: Apache-2.0
#include "agent/core/derive_state.h"

namespace cvm::agent::core {
namespace {

using v1::InstanceState;
using v1::ObservedPower;
using v1::Operation;

InstanceState OfOperation(Operation::Action action) {
  switch (action) {
    case Operation::CREATE_INSTANCE:
    case Operation::CLONE_INSTANCE:
    case Operation::ADOPT_INSTANCE:
      return v1::PENDING;
    case Operation::DELETE_INSTANCE:
      return v1::TERMINATING;
    case Operation::START_INSTANCE:
      return v1::STARTING;
    case Operation::STOP_INSTANCE:
      return v1::STOPPING;
    case Operation::REBOOT_INSTANCE:
      return v1::REBOOTING;
    case Operation::RESIZE_INSTANCE:
      return v1::RESIZING;
    case Operation::REINSTALL_INSTANCE:
      return v1::REINSTALLING;
    default:
      // An operation that leaves the power as it is.
      return v1::INSTANCE_STATE_UNSPECIFIED;
  }
}

InstanceState OfObservation(ObservedPower::State state) {
  switch (state) {
    case ObservedPower::RUNNING:
      return v1::RUNNING;
    case ObservedPower::PAUSED:
    case ObservedPower::SUSPENDED:
      return v1::PAUSED;
    case ObservedPower::STOPPED:
    case ObservedPower::CRASHED:
    case ObservedPower::ABSENT:
      return v1::STOPPED;
    default:
      return v1::UNKNOWN;
  }
}

}  // namespace

bool IsBusy(const v1::Instance& instance) {
  return instance.latest_operation().state() == Operation::OPERATING;
}

bool HoldsResources(const v1::Instance& instance) {
  return instance.lifecycle() == v1::LIFECYCLE_PRESENT ||
         instance.lifecycle() == v1::LIFECYCLE_RECYCLED;
}

bool HasDomain(const v1::Instance& instance) {
  const ObservedPower& power = instance.observed_power();
  const ObservedPower::State state =
      power.state() == ObservedPower::UNKNOWN ? power.last_known() : power.state();
  return HoldsResources(instance) && state != ObservedPower::ABSENT;
}

InstanceState DeriveState(const v1::Instance& instance) {
  const Operation& operation = instance.latest_operation();
  if (IsBusy(instance)) {
    const InstanceState state = OfOperation(operation.action());
    if (state != v1::INSTANCE_STATE_UNSPECIFIED) return state;
  }
  if (instance.lifecycle() == v1::LIFECYCLE_LAUNCH_FAILED) return v1::LAUNCH_FAILED;
  if (instance.lifecycle() == v1::LIFECYCLE_DELETED) return v1::TERMINATING;
  if (instance.lifecycle() == v1::LIFECYCLE_RECYCLED) return v1::SHUTDOWN;
  const InstanceState seen = OfObservation(instance.observed_power().state());
  // On or off is in the observation.
  return instance.has_rescue() && seen != v1::UNKNOWN ? v1::RESCUE : seen;
}

}  // namespace cvm::agent::core
