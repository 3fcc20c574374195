// SPDX-License-Identifier: Apache-2.0
//
// Where a test may stop the agent dead. Absent from release builds: without CVM_TEST_HOOKS the
// calls below are empty and inlined away.
#pragma once

#include <functional>
#include <string>

#include "cvm/agent/v1/operation.pb.h"

namespace cvm::agent::core {

// The instant: "CREATE_INSTANCE/making the disks/before-run". The points of a step are before-run
// (its start is written down), after-run (it is not yet written down that it is done), before-undo
// and after-undo. Besides: "<ACTION>/end/before-commit".
struct CrashSite {
  v1::Operation::Action action = v1::Operation::ACTION_UNSPECIFIED;
  std::string step;
  std::string point;

  std::string ToString() const {
    return v1::Operation::Action_Name(action) + "/" + step + "/" + point;
  }
};

// Returns true when the operation's execution must stop here as if the agent had been killed.
using CrashHook = std::function<bool(const CrashSite&)>;

// Kills this process with SIGKILL at the site named by the environment's CVM_CRASH_AT, or at the
// one that the file named by CVM_CRASH_AT_FILE holds at that instant, and appends every site passed
// to the file named by CVM_CRASH_TRACE. Empty when none is set.
CrashHook CrashHookFromEnvironment();

}  // namespace cvm::agent::core
