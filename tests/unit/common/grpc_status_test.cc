// SPDX-License-Identifier: Apache-2.0
#include "common/grpc_status.h"

#include "common/errors.h"
#include "gmock/gmock.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace cvm {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(GrpcStatus, Ok) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

TEST(GrpcStatus, RoundTripsWithReason) {
  const absl::Status status =
      Error(common::v1::ERROR_REASON_IMAGE_IN_USE, "img-1 is in use", {{"image_id", "img-1"}});
  const grpc::Status wire = ToGrpc(status);
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(wire.error_message(), "img-1 is in use");
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(wire.error_details()));
  EXPECT_EQ(details.code(), 9);
  EXPECT_EQ(FromGrpc(wire), status);
}

TEST(GrpcStatus, EveryCodeIsGrpcs) {
  const auto* reasons = common::v1::ErrorReason_descriptor();
  for (int i = 1; i < reasons->value_count(); ++i) {
    const auto reason = static_cast<ErrorReason>(reasons->value(i)->number());
    const grpc::Status wire = ToGrpc(Error(reason, "x"));
    EXPECT_EQ(static_cast<int>(wire.error_code()), static_cast<int>(CodeOf(reason)));
    EXPECT_EQ(ReasonOf(FromGrpc(wire)), reason);
  }
}

TEST(GrpcStatus, WithoutReasonNothingIsTold) {
  testing::internal::CaptureStderr();
  const grpc::Status wire = ToGrpc(absl::NotFoundError("/var/lib/secret\nforged"));
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("/var/lib/secret\\x0aforged"));
  EXPECT_EQ(wire.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(wire.error_message(), Not(HasSubstr("secret")));
  EXPECT_THAT(wire.error_details(), Not(HasSubstr("secret")));
  EXPECT_EQ(ReasonOf(FromGrpc(wire)), common::v1::ERROR_REASON_INTERNAL);
}

TEST(GrpcStatus, FitsATrailerWhateverItHolds) {
  std::string wide;
  for (int i = 0; i < 4000; ++i) wide += "\u4e2d";
  ErrorMetadata metadata;
  for (int i = 0; i < 100; ++i) metadata[std::to_string(i)] = wide;
  const grpc::Status wire = ToGrpc(Error(common::v1::ERROR_REASON_INVALID_FIELD, wide, metadata));
  EXPECT_LT(3 * wire.error_message().size() + wire.error_details().size(), 8000u);
  EXPECT_EQ(ReasonOf(FromGrpc(wire)), common::v1::ERROR_REASON_INVALID_FIELD);

  const grpc::Status few =
      ToGrpc(Error(common::v1::ERROR_REASON_INVALID_FIELD, wide, {{"field", "f"}, {"v", wide}}));
  EXPECT_EQ(ErrorInfoOf(FromGrpc(few))->metadata().at("field"), "f");
}

TEST(GrpcStatus, APeersErrorWithoutDetails) {
  const absl::Status status = FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "no route\xff"));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(status.message(), "no route\\xff");
  EXPECT_EQ(ReasonOf(status), common::v1::ERROR_REASON_UNSPECIFIED);
}

TEST(GrpcStatus, DetailsThatDoNotMatchAreIgnored) {
  const grpc::Status other = ToGrpc(Error(common::v1::ERROR_REASON_IMAGE_IN_USE, "inner"));
  const absl::Status status =
      FromGrpc(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "outer", other.error_details()));
  EXPECT_EQ(status, absl::DeadlineExceededError("outer"));
  EXPECT_EQ(FromGrpc(grpc::Status(grpc::StatusCode::ABORTED, "outer", "\xff garbage")),
            absl::AbortedError("outer"));
}

}  // namespace
}  // namespace cvm
