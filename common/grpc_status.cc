// SPDX-License-Identifier: Apache-2.0
#include "common/grpc_status.h"

#include <string>

#include "common/errors.h"
#include "common/log.h"
#include "common/text.h"

namespace cvm {
namespace {

// gRPC drops a call's trailers, and the error with them, above 8 KiB. The message is in them twice,
// once with three bytes for each byte that is not ASCII.
constexpr size_t kMaxMessageBytes = 1200;
constexpr size_t kMaxMetadataBytes = 2000;
constexpr size_t kMaxMetadataValueBytes = 200;

google::rpc::ErrorInfo FitForTrailer(google::rpc::ErrorInfo info) {
  if (info.ByteSizeLong() <= kMaxMetadataBytes) return info;
  for (auto& [key, value] : *info.mutable_metadata()) {
    value = ClipText(value, kMaxMetadataValueBytes);
  }
  if (info.ByteSizeLong() > kMaxMetadataBytes) info.clear_metadata();
  return info;
}

}  // namespace

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  std::optional<google::rpc::ErrorInfo> info = ErrorInfoOf(status);
  if (!info.has_value()) {
    CVM_LOG_ERROR("a call failed without a reason: {}", status.ToString());
    return ToGrpc(
        Error(common::v1::ERROR_REASON_INTERNAL, "internal error; the server's log says more"));
  }
  google::rpc::Status proto;
  proto.set_code(static_cast<int>(status.code()));
  proto.set_message(ClipText(std::string(status.message()), kMaxMessageBytes));
  proto.add_details()->PackFrom(FitForTrailer(*std::move(info)));
  return grpc::Status(static_cast<grpc::StatusCode>(proto.code()), proto.message(),
                      proto.SerializeAsString());
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  google::rpc::Status proto;
  const int code = static_cast<int>(status.error_code());
  // The details are the peer's and say nothing about a failure that gRPC itself found.
  if (!proto.ParseFromString(status.error_details()) || proto.code() != code) proto.Clear();
  proto.set_code(code);
  if (proto.message().empty()) {
    proto.set_message(PrintableText(status.error_message(), LineBreaks::kKeep));
  }
  return FromProto(proto);
}

}  // namespace cvm
