// SPDX-License-Identifier: Apache-2.0
#include "common/errors.h"

#include <utility>

#include "absl/strings/cord.h"
#include "common/text.h"
#include "fmt/format.h"

namespace cvm {
namespace {

constexpr std::string_view kNamePrefix = "ERROR_REASON_";
constexpr std::string_view kTypeUrlPrefix = "type.googleapis.com/";
constexpr char kErrorInfoUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";

// Longer text helps nobody, and a gRPC trailer holds 8 KiB in all.
constexpr size_t kMaxMessageBytes = 4096;
constexpr size_t kMaxMetadataBytes = 512;

std::string Clean(std::string_view text, size_t max_bytes) {
  return ClipText(PrintableText(text, LineBreaks::kKeep), max_bytes);
}

void SetErrorInfo(absl::Status& status, const google::rpc::ErrorInfo& info) {
  status.SetPayload(kErrorInfoUrl, absl::Cord(info.SerializeAsString()));
}

// The codes follow the general guidance for gRPC: FAILED_PRECONDITION when someone must change a
// state first, ABORTED when the caller should read again and retry, UNAVAILABLE when the same call
// may succeed later, RESOURCE_EXHAUSTED when something must be freed.
std::optional<absl::StatusCode> FindCode(ErrorReason reason) {
  switch (reason) {
    case common::v1::ERROR_REASON_INVALID_FIELD:
    case common::v1::ERROR_REASON_MISSING_FIELD:
    case common::v1::ERROR_REASON_UNKNOWN_ENUM_VALUE:
    case common::v1::ERROR_REASON_MALFORMED_ID:
    // Twice within one request; an id that another object has is *_EXISTS.
    case common::v1::ERROR_REASON_DUPLICATE_ID:
    case common::v1::ERROR_REASON_FIELDS_CONFLICT:
    case common::v1::ERROR_REASON_USER_DATA_TOO_LARGE:
    case common::v1::ERROR_REASON_INVALID_HOST_NAME:
    case common::v1::ERROR_REASON_INVALID_SSH_KEY:
    case common::v1::ERROR_REASON_INVALID_PASSWORD_HASH:
    case common::v1::ERROR_REASON_INVALID_PAGE_TOKEN:
    // Not ALREADY_EXISTS: clients take that for the success of an earlier try, and here nothing of
    // what they asked for was done. Sending the same again never helps.
    case common::v1::ERROR_REASON_REQUEST_ID_REUSED:
    case common::v1::ERROR_REASON_IMAGE_FORMAT_MISMATCH:
    case common::v1::ERROR_REASON_IMAGE_TOO_LARGE:
    case common::v1::ERROR_REASON_DISK_TOO_SMALL:
    case common::v1::ERROR_REASON_TOO_MANY_DISKS:
    case common::v1::ERROR_REASON_TOO_MANY_NICS:
    case common::v1::ERROR_REASON_ADDRESS_NOT_IN_SUBNET:
      return absl::StatusCode::kInvalidArgument;

    case common::v1::ERROR_REASON_INSTANCE_NOT_FOUND:
    case common::v1::ERROR_REASON_IMAGE_NOT_FOUND:
    case common::v1::ERROR_REASON_SOURCE_NOT_FOUND:
    case common::v1::ERROR_REASON_NETWORK_NOT_FOUND:
    case common::v1::ERROR_REASON_OPERATION_NOT_FOUND:
    case common::v1::ERROR_REASON_DOMAIN_NOT_FOUND:
      return absl::StatusCode::kNotFound;

    case common::v1::ERROR_REASON_INSTANCE_EXISTS:
    case common::v1::ERROR_REASON_IMAGE_EXISTS:
      return absl::StatusCode::kAlreadyExists;

    case common::v1::ERROR_REASON_REQUEST_ID_EXPIRED:
    case common::v1::ERROR_REASON_INVALID_INSTANCE_STATE:
    case common::v1::ERROR_REASON_TERMINATION_PROTECTED:
    case common::v1::ERROR_REASON_IMAGE_IN_USE:
    case common::v1::ERROR_REASON_IMAGE_NOT_READY:
    case common::v1::ERROR_REASON_IMAGE_UNSAFE:
    case common::v1::ERROR_REASON_IMAGE_CORRUPT:
    case common::v1::ERROR_REASON_CHECKSUM_MISMATCH:
    case common::v1::ERROR_REASON_HOST_IN_MAINTENANCE:
    case common::v1::ERROR_REASON_ADDRESS_IN_USE:
    case common::v1::ERROR_REASON_MAC_IN_USE:
    case common::v1::ERROR_REASON_OPERATION_NOT_CANCELLABLE:
    case common::v1::ERROR_REASON_ADOPTED_INSTANCE:
    case common::v1::ERROR_REASON_DOMAIN_IN_USE:
      return absl::StatusCode::kFailedPrecondition;

    case common::v1::ERROR_REASON_OPERATION_IN_PROGRESS:
    case common::v1::ERROR_REASON_ETAG_MISMATCH:
      return absl::StatusCode::kAborted;

    case common::v1::ERROR_REASON_INSUFFICIENT_VCPUS:
    case common::v1::ERROR_REASON_INSUFFICIENT_MEMORY:
    case common::v1::ERROR_REASON_INSUFFICIENT_DISK:
    case common::v1::ERROR_REASON_TOO_MANY_INSTANCES:
    case common::v1::ERROR_REASON_NO_FREE_ADDRESS:
    case common::v1::ERROR_REASON_NO_SPACE:
      return absl::StatusCode::kResourceExhausted;

    // The hypervisor cannot be asked just now; nobody has to change anything but wait.
    case common::v1::ERROR_REASON_STATE_UNKNOWN:
    case common::v1::ERROR_REASON_HYPERVISOR_UNAVAILABLE:
    case common::v1::ERROR_REASON_STORE_UNAVAILABLE:
    case common::v1::ERROR_REASON_AGENT_STOPPING:
      return absl::StatusCode::kUnavailable;

    case common::v1::ERROR_REASON_SOFT_STOP_TIMED_OUT:
    case common::v1::ERROR_REASON_GUEST_IGNORED_REBOOT:
      return absl::StatusCode::kDeadlineExceeded;

    case common::v1::ERROR_REASON_OPERATION_CANCELLED:
      return absl::StatusCode::kCancelled;

    case common::v1::ERROR_REASON_RESYNC:
      return absl::StatusCode::kOutOfRange;

    case common::v1::ERROR_REASON_NOT_IMPLEMENTED:
      return absl::StatusCode::kUnimplemented;

    case common::v1::ERROR_REASON_HYPERVISOR_ERROR:
    case common::v1::ERROR_REASON_COMMAND_FAILED:
    case common::v1::ERROR_REASON_INTERNAL:
      return absl::StatusCode::kInternal;

    // No `default`: the compiler names a reason that has no entry.
    case common::v1::ERROR_REASON_UNSPECIFIED:
    case common::v1::ErrorReason_INT_MIN_SENTINEL_DO_NOT_USE_:
    case common::v1::ErrorReason_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusCode CodeOf(ErrorReason reason) {
  return FindCode(reason).value_or(absl::StatusCode::kInternal);
}

bool HasCode(ErrorReason reason) { return FindCode(reason).has_value(); }

std::string ReasonName(ErrorReason reason) {
  const std::string& name = common::v1::ErrorReason_Name(reason);
  if (name.compare(0, kNamePrefix.size(), kNamePrefix) != 0) return "UNSPECIFIED";
  return name.substr(kNamePrefix.size());
}

absl::Status Error(ErrorReason reason, std::string_view message, const ErrorMetadata& metadata) {
  google::rpc::ErrorInfo info;
  info.set_reason(ReasonName(reason));
  info.set_domain(std::string(kErrorDomain));
  for (const auto& [key, value] : metadata) {
    (*info.mutable_metadata())[Clean(key, kMaxMetadataBytes)] = Clean(value, kMaxMetadataBytes);
  }
  absl::Status status(CodeOf(reason), Clean(message, kMaxMessageBytes));
  SetErrorInfo(status, info);
  return status;
}

absl::Status InvalidField(std::string_view field, std::string_view problem) {
  return Error(common::v1::ERROR_REASON_INVALID_FIELD, fmt::format("{}: {}", field, problem),
               {{"field", std::string(field)}});
}

absl::Status MissingField(std::string_view field) {
  return Error(common::v1::ERROR_REASON_MISSING_FIELD, fmt::format("{}: is required", field),
               {{"field", std::string(field)}});
}

std::optional<google::rpc::ErrorInfo> ErrorInfoOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kErrorInfoUrl);
  if (!payload.has_value()) return std::nullopt;
  google::rpc::ErrorInfo info;
  if (!info.ParseFromString(std::string(*payload))) return std::nullopt;
  return info;
}

ErrorReason ReasonOf(const absl::Status& status) {
  const std::optional<google::rpc::ErrorInfo> info = ErrorInfoOf(status);
  ErrorReason reason = common::v1::ERROR_REASON_UNSPECIFIED;
  if (info.has_value() && info->domain() == kErrorDomain) {
    // Leaves `reason` as it is for the name of a newer peer's reason.
    common::v1::ErrorReason_Parse(std::string(kNamePrefix) + info->reason(), &reason);
  }
  return reason;
}

google::rpc::Status ToProto(const absl::Status& status) {
  google::rpc::Status proto;
  if (status.ok()) return proto;
  proto.set_code(static_cast<int>(status.code()));
  proto.set_message(Clean(std::string(status.message()), kMaxMessageBytes));
  google::rpc::ErrorInfo info;
  if (std::optional<google::rpc::ErrorInfo> found = ErrorInfoOf(status)) {
    info = *std::move(found);
  } else {
    info.set_reason(ReasonName(common::v1::ERROR_REASON_INTERNAL));
    info.set_domain(std::string(kErrorDomain));
  }
  proto.add_details()->PackFrom(info, std::string(kTypeUrlPrefix));
  return proto;
}

absl::Status FromProto(const google::rpc::Status& proto) {
  if (proto.code() == 0) return absl::OkStatus();
  const bool known = proto.code() > 0 && proto.code() <= 16;
  absl::Status status(
      known ? static_cast<absl::StatusCode>(proto.code()) : absl::StatusCode::kUnknown,
      proto.message());
  for (const google::protobuf::Any& detail : proto.details()) {
    google::rpc::ErrorInfo info;
    if (detail.Is<google::rpc::ErrorInfo>() && detail.UnpackTo(&info)) {
      SetErrorInfo(status, info);
      break;
    }
  }
  return status;
}

}  // namespace cvm
