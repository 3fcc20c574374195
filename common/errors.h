// SPDX-License-Identifier: Apache-2.0
//
// Every error that leaves a function of ours with a reason that a caller may act on. The reason
// travels in the absl::Status as a google.rpc.ErrorInfo payload; common/grpc_status.h puts it on
// the wire. Messages say which object, what was found and what to do; they hold no secret and no
// host path.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "cvm/common/v1/errors.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace cvm {

using common::v1::ErrorReason;
using ErrorMetadata = std::map<std::string, std::string>;

// The ErrorInfo.domain of all our errors.
inline constexpr std::string_view kErrorDomain = "cvm";

// The status code that goes with a reason; INTERNAL for one without an entry in the table.
absl::StatusCode CodeOf(ErrorReason reason);
// Whether the table has an entry: true for every reason but UNSPECIFIED.
bool HasCode(ErrorReason reason);

// The reason as it is sent: "INSTANCE_NOT_FOUND".
std::string ReasonName(ErrorReason reason);

// The factory: code from the table, reason and metadata as payload. Text that is not UTF-8 is made
// printable, since a message may quote what a client or a guest sent, and so are control characters
// other than line breaks; a message is clipped at 4096 bytes, a metadata value at 512.
absl::Status Error(ErrorReason reason, std::string_view message,
                   const ErrorMetadata& metadata = {});

// INVALID_FIELD and MISSING_FIELD with metadata "field".
absl::Status InvalidField(std::string_view field, std::string_view problem);
absl::Status MissingField(std::string_view field);

// The reason of a status made by Error(); ERROR_REASON_UNSPECIFIED for any other.
ErrorReason ReasonOf(const absl::Status& status);

// The ErrorInfo of a status made by Error().
std::optional<google::rpc::ErrorInfo> ErrorInfoOf(const absl::Status& status);

// To and from the wire form. A status without a reason keeps code and message and gets INTERNAL as
// its reason. OK is an empty message. A reason that only a newer peer knows survives the round
// trip.
google::rpc::Status ToProto(const absl::Status& status);
absl::Status FromProto(const google::rpc::Status& proto);

}  // namespace cvm
