// SPDX-License-Identifier: Apache-2.0
//
// The one table of what may be asked of an instance in which state. The manager refuses by it,
// GetInstance lists by it what is refused now, and docs/actions.md is its rendering.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cvm/agent/v1/instance.pb.h"

namespace cvm::agent::core {

// The states in which `action` may be asked for; empty for an action that is not about an instance
// that exists. An instance that is busy (its latest operation is under way) is in none of them.
const std::vector<v1::InstanceState>& AllowedStates(v1::Operation::Action action);

// The actions that the table knows, in its order.
const std::vector<v1::Operation::Action>& PolicyActions();

// OK when `action` may be asked for now. Of a busy instance only what does not depend on its state
// is checked: whether it waits for its turn is the engine's to say. Errors: INVALID_INSTANCE_STATE
// and STATE_UNKNOWN with metadata "instance_id" and "state", DOMAIN_NOT_FOUND,
// TERMINATION_PROTECTED, ADOPTED_INSTANCE. `why_unknown` is told when libvirt cannot be asked.
absl::Status CheckAction(const v1::Instance& instance, v1::Operation::Action action,
                         std::string_view why_unknown);

// Every action of the table that is refused now, and why; for a busy instance that is
// OPERATION_IN_PROGRESS for all, but for the hard stop that may end a soft one.
std::vector<v1::DeniedAction> DeniedActions(const v1::Instance& instance,
                                            std::string_view why_unknown);

// The table as Markdown.
std::string RenderActionTable();

}  // namespace cvm::agent::core
