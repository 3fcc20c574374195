// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "google/protobuf/message_lite.h"

namespace cvm {

// The message's bytes, the same for equal messages within one version of the program (map entries
// sorted).
std::string DeterministicBytes(const google::protobuf::MessageLite& message);

}  // namespace cvm
