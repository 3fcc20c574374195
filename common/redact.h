// SPDX-License-Identifier: Apache-2.0
//
// Fields marked (cvm.common.v1.sensitive) never reach a log, an error, an event or an answer.
#pragma once

#include <string>

#include "google/protobuf/message.h"

namespace cvm {

// Clears every sensitive field, at any depth, also within maps and repeated fields, and within
// google.protobuf.Any whose type is linked in. What cannot be judged is cleared too: unknown fields
// (of a newer peer), an Any of another type or with a broken value, and what lies deeper than 64
// messages.
void Redact(google::protobuf::Message& message);

// The message on one line with its sensitive fields replaced by "[redacted]" where set; unknown
// fields are left out.
std::string RedactedText(const google::protobuf::Message& message);

}  // namespace cvm
