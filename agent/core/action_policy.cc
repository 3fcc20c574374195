// SPDX-License-Identifier: Apache-2.0
#include "agent/core/action_policy.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "agent/core/derive_state.h"
#include "common/errors.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using v1::InstanceState;
using v1::ObservedPower;
using v1::Operation;

struct Row {
  Operation::Action action;
  std::vector<InstanceState> allowed;
  // Works on a domain, so one must be there.
  bool needs_domain = true;
};

const std::vector<Row>& Table() {
  // STARTING, STOPPING and the like are states of a busy instance: nothing is allowed in them, and
  // so they stand nowhere here.
  static const auto* const table = new std::vector<Row>{
      {Operation::START_INSTANCE, {v1::STOPPED}},
      {Operation::STOP_INSTANCE, {v1::RUNNING, v1::PAUSED}},
      {Operation::REBOOT_INSTANCE, {v1::RUNNING}},
      {Operation::RESIZE_INSTANCE, {v1::RUNNING, v1::PAUSED, v1::STOPPED}},
      {Operation::UPDATE_INSTANCE,
       {v1::RUNNING, v1::PAUSED, v1::STOPPED, v1::RESCUE, v1::SHUTDOWN, v1::LAUNCH_FAILED},
       false},
      {Operation::DELETE_INSTANCE,
       {v1::RUNNING, v1::PAUSED, v1::STOPPED, v1::RESCUE, v1::SHUTDOWN, v1::LAUNCH_FAILED,
        v1::UNKNOWN},
       false},
      {Operation::RESTORE_INSTANCE, {v1::SHUTDOWN}, false},
  };
  return *table;
}

// Changes the definition or the disks, which of an adopted instance are somebody else's.
bool NeedsOwnDomain(Operation::Action action) {
  switch (action) {
    case Operation::RESIZE_INSTANCE:
    case Operation::REINSTALL_INSTANCE:
    case Operation::ENTER_RESCUE:
    case Operation::EXIT_RESCUE:
      return true;
    default:
      return false;
  }
}

const Row* Find(Operation::Action action) {
  for (const Row& row : Table()) {
    if (row.action == action) return &row;
  }
  return nullptr;
}

std::string StateNames(const std::vector<InstanceState>& states) {
  return absl::StrJoin(states, " or ", [](std::string* out, InstanceState state) {
    out->append(v1::InstanceState_Name(state));
  });
}

bool Allows(const Row& row, InstanceState state) {
  return std::find(row.allowed.begin(), row.allowed.end(), state) != row.allowed.end();
}

}  // namespace

const std::vector<InstanceState>& AllowedStates(Operation::Action action) {
  static const auto* const none = new std::vector<InstanceState>();
  const Row* row = Find(action);
  return row == nullptr ? *none : row->allowed;
}

const std::vector<Operation::Action>& PolicyActions() {
  static const auto* const actions = [] {
    auto* list = new std::vector<Operation::Action>();
    for (const Row& row : Table()) list->push_back(row.action);
    return list;
  }();
  return *actions;
}

absl::Status CheckAction(const v1::Instance& instance, Operation::Action action,
                         std::string_view why_unknown) {
  const Row* row = Find(action);
  if (row == nullptr) {
    return Error(
        ErrorReason::ERROR_REASON_INTERNAL,
        fmt::format("{} has no place in the table of actions", Operation::Action_Name(action)));
  }
  const ErrorMetadata metadata = {{"instance_id", instance.id()},
                                  {"state", v1::InstanceState_Name(instance.state())}};
  if (action == Operation::DELETE_INSTANCE && instance.spec().termination_protection()) {
    return Error(
        ErrorReason::ERROR_REASON_TERMINATION_PROTECTED,
        fmt::format("{} is protected from deletion: lift the protection first", instance.id()),
        metadata);
  }
  if (instance.adopted() && NeedsOwnDomain(action)) {
    return Error(ErrorReason::ERROR_REASON_ADOPTED_INSTANCE,
                 fmt::format("{} was adopted: its definition and its disks are not the agent's to "
                             "change",
                             instance.id()),
                 metadata);
  }
  if (IsBusy(instance)) return absl::OkStatus();
  const InstanceState state = instance.state();
  if (!Allows(*row, state)) {
    if (state == v1::UNKNOWN) {
      return Error(ErrorReason::ERROR_REASON_STATE_UNKNOWN,
                   fmt::format("libvirt cannot be asked about {}: {}. Try again when it is back",
                               instance.id(), why_unknown),
                   metadata);
    }
    return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE,
                 fmt::format("{} is {}, it must be {}", instance.id(),
                             v1::InstanceState_Name(state), StateNames(row->allowed)),
                 metadata);
  }
  if (row->needs_domain && instance.observed_power().state() == ObservedPower::ABSENT) {
    return Error(
        ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND,
        fmt::format("libvirt has no domain for {}: it was removed by somebody else", instance.id()),
        metadata);
  }
  return absl::OkStatus();
}

std::vector<v1::DeniedAction> DeniedActions(const v1::Instance& instance,
                                            std::string_view why_unknown) {
  std::vector<v1::DeniedAction> denied;
  const auto add = [&](Operation::Action action, std::string reason, std::string message) {
    v1::DeniedAction& entry = denied.emplace_back();
    entry.set_action(action);
    entry.set_reason(std::move(reason));
    entry.set_message(std::move(message));
  };
  for (const Row& row : Table()) {
    const absl::Status status = CheckAction(instance, row.action, why_unknown);
    if (!status.ok()) {
      add(row.action, ReasonName(ReasonOf(status)), std::string(status.message()));
    } else if (IsBusy(instance) &&
               !(row.action == Operation::STOP_INSTANCE && instance.state() == v1::STOPPING)) {
      add(row.action, ReasonName(ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS),
          fmt::format("{} of {} is under way: wait for it",
                      Operation::Action_Name(instance.latest_operation().action()), instance.id()));
    }
  }
  return denied;
}

std::string RenderActionTable() {
  constexpr InstanceState kColumns[] = {v1::RUNNING,  v1::PAUSED,        v1::STOPPED, v1::RESCUE,
                                        v1::SHUTDOWN, v1::LAUNCH_FAILED, v1::UNKNOWN};
  std::string out = "| action |";
  std::string rule = "|--|";
  for (const InstanceState state : kColumns) {
    out += fmt::format(" {} |", v1::InstanceState_Name(state));
    rule += "--|";
  }
  out += "\n" + rule + "\n";
  for (const Row& row : Table()) {
    out += fmt::format("| {} |", Operation::Action_Name(row.action));
    for (const InstanceState state : kColumns) {
      out += Allows(row, state) ? " yes |" : " |";
    }
    out += "\n";
  }
  return out;
}

}  // namespace cvm::agent::core
