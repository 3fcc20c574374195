// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "agent/core/ledger.h"
#include "cvm/agent/v1/operation.pb.h"
#include "google/protobuf/message.h"

namespace cvm::agent::core {

// What a valid request comes to.
struct Plan {
  v1::Operation::Action action = v1::Operation::ACTION_UNSPECIFIED;
  std::string target_id;
  // The request with everything filled in that the agent chose, without its secrets.
  std::unique_ptr<google::protobuf::Message> request;
  // Rows that are written together with the operation.
  LedgerChange change;
  // What `request` had to say that is kept apart; workflows read it from the store by the
  // operation's id, until the operation ends.
  InstanceSecrets secrets;
  // The record's first notes.
  std::map<std::string, std::string> notes;
  // May begin although a soft stop of the same target (a record with kSoftStopNote) is pending.
  bool overrides_soft_stop = false;
  // An operation on the target was seen under way, so what depends on the target's state was not
  // checked. When that operation has ended by the time of the submission, the plan is made anew.
  bool target_was_busy = false;
};

// Marks the record of a stop that waits for its guest.
inline constexpr char kSoftStopNote[] = "soft-stop";

}  // namespace cvm::agent::core
