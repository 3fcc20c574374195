// SPDX-License-Identifier: Apache-2.0
#include "common/errors.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm {
namespace {

using common::v1::ErrorReason_descriptor;
using testing::HasSubstr;

TEST(Errors, EveryReasonHasACode) {
  const auto* reasons = ErrorReason_descriptor();
  ASSERT_GE(reasons->value_count(), 58);
  for (int i = 0; i < reasons->value_count(); ++i) {
    const auto reason = static_cast<ErrorReason>(reasons->value(i)->number());
    if (reason == common::v1::ERROR_REASON_UNSPECIFIED) continue;
    EXPECT_TRUE(HasCode(reason)) << reasons->value(i)->name();
    EXPECT_NE(CodeOf(reason), absl::StatusCode::kOk) << reasons->value(i)->name();
    EXPECT_EQ("ERROR_REASON_" + ReasonName(reason), reasons->value(i)->name());
  }
}

TEST(Errors, AnUnknownReasonIsInternal) {
  EXPECT_FALSE(HasCode(common::v1::ERROR_REASON_UNSPECIFIED));
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_UNSPECIFIED), absl::StatusCode::kInternal);
  EXPECT_EQ(CodeOf(static_cast<ErrorReason>(123456)), absl::StatusCode::kInternal);
  EXPECT_EQ(ReasonName(static_cast<ErrorReason>(123456)), "UNSPECIFIED");
}

TEST(Errors, CodesThatClientsRelyOn) {
  // A client takes ALREADY_EXISTS for the success of an earlier try.
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_REQUEST_ID_REUSED), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_INSTANCE_NOT_FOUND), absl::StatusCode::kNotFound);
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_INSTANCE_EXISTS), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_OPERATION_IN_PROGRESS), absl::StatusCode::kAborted);
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_ETAG_MISMATCH), absl::StatusCode::kAborted);
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_NO_SPACE), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_AGENT_STOPPING), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeOf(common::v1::ERROR_REASON_NOT_IMPLEMENTED), absl::StatusCode::kUnimplemented);
}

TEST(Errors, CarryReasonAndMetadata) {
  const absl::Status status = Error(common::v1::ERROR_REASON_IMAGE_TOO_LARGE, "img-1: too large",
                                    {{"limit", "5"}, {"image_id", "img-1"}});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "img-1: too large");
  EXPECT_EQ(ReasonOf(status), common::v1::ERROR_REASON_IMAGE_TOO_LARGE);
  const auto info = ErrorInfoOf(status);
  ASSERT_TRUE(info.has_value());
  EXPECT_EQ(info->reason(), "IMAGE_TOO_LARGE");
  EXPECT_EQ(info->domain(), "cvm");
  EXPECT_EQ(info->metadata().size(), 2u);
  EXPECT_EQ(info->metadata().at("limit"), "5");
}

TEST(Errors, FieldErrorsNameTheField) {
  const absl::Status invalid = InvalidField("spec.vcpus", "must be at least 1");
  EXPECT_EQ(invalid.message(), "spec.vcpus: must be at least 1");
  EXPECT_EQ(ReasonOf(invalid), common::v1::ERROR_REASON_INVALID_FIELD);
  EXPECT_EQ(ErrorInfoOf(invalid)->metadata().at("field"), "spec.vcpus");
  const absl::Status missing = MissingField("spec");
  EXPECT_EQ(missing.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(ReasonOf(missing), common::v1::ERROR_REASON_MISSING_FIELD);
  EXPECT_EQ(ErrorInfoOf(missing)->metadata().at("field"), "spec");
}

TEST(Errors, HostileTextBecomesPrintable) {
  const std::string hostile("a\xff\x00\x1b\nb", 6);
  const absl::Status status =
      Error(common::v1::ERROR_REASON_INVALID_FIELD, hostile, {{hostile, hostile}});
  EXPECT_EQ(status.message(), "a\\xff\\x00\\x1b\nb");
  EXPECT_EQ(ErrorInfoOf(status)->metadata().at("a\\xff\\x00\\x1b\nb"), "a\\xff\\x00\\x1b\nb");
}

TEST(Errors, LongTextIsClipped) {
  const absl::Status status = Error(common::v1::ERROR_REASON_INVALID_FIELD,
                                    std::string(100'000, 'x'), {{"v", std::string(100'000, 'y')}});
  EXPECT_EQ(status.message().size(), 4096u);
  EXPECT_EQ(ErrorInfoOf(status)->metadata().at("v").size(), 512u);
}

TEST(Errors, StatusesOfOthersHaveNoReason) {
  EXPECT_EQ(ReasonOf(absl::OkStatus()), common::v1::ERROR_REASON_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(absl::NotFoundError("x")), common::v1::ERROR_REASON_UNSPECIFIED);
  EXPECT_FALSE(ErrorInfoOf(absl::NotFoundError("x")).has_value());
}

TEST(Errors, WireFormRoundTrips) {
  const absl::Status status =
      Error(common::v1::ERROR_REASON_IMAGE_IN_USE, "img-1 is in use", {{"image_id", "img-1"}});
  const google::rpc::Status proto = ToProto(status);
  EXPECT_EQ(proto.code(), 9);
  EXPECT_EQ(proto.message(), "img-1 is in use");
  ASSERT_EQ(proto.details_size(), 1);
  EXPECT_EQ(proto.details(0).type_url(), "type.googleapis.com/google.rpc.ErrorInfo");
  const absl::Status back = FromProto(proto);
  EXPECT_EQ(back, status);
  EXPECT_EQ(ErrorInfoOf(back)->metadata().at("image_id"), "img-1");
}

TEST(Errors, WireFormOfOk) {
  const google::rpc::Status proto = ToProto(absl::OkStatus());
  EXPECT_EQ(proto.ByteSizeLong(), 0u);
  EXPECT_TRUE(FromProto(proto).ok());
}

TEST(Errors, WireFormWithoutReasonIsInternal) {
  const google::rpc::Status proto = ToProto(absl::DeadlineExceededError("late"));
  EXPECT_EQ(proto.code(), 4);
  EXPECT_EQ(proto.message(), "late");
  EXPECT_EQ(ReasonOf(FromProto(proto)), common::v1::ERROR_REASON_INTERNAL);
}

TEST(Errors, WireFormOfANewerPeerSurvives) {
  google::rpc::ErrorInfo info;
  info.set_domain("cvm");
  info.set_reason("NOT_INVENTED_YET");
  google::rpc::Status proto;
  proto.set_code(5);
  proto.add_details()->set_type_url("type.googleapis.com/google.rpc.Unknown");
  proto.add_details()->PackFrom(info);
  const absl::Status status = FromProto(proto);
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ReasonOf(status), common::v1::ERROR_REASON_UNSPECIFIED);
  ASSERT_TRUE(ErrorInfoOf(status).has_value());
  EXPECT_THAT(ToProto(status).details(0).value(), HasSubstr("NOT_INVENTED_YET"));
}

TEST(Errors, AnotherDomainsReasonIsNotOurs) {
  google::rpc::ErrorInfo info;
  info.set_domain("example.com");
  info.set_reason("INSTANCE_NOT_FOUND");
  google::rpc::Status proto;
  proto.set_code(5);
  proto.add_details()->PackFrom(info);
  EXPECT_EQ(ReasonOf(FromProto(proto)), common::v1::ERROR_REASON_UNSPECIFIED);
}

TEST(Errors, WireFormWithAStrangeCode) {
  google::rpc::Status proto;
  proto.set_code(-7);
  EXPECT_EQ(FromProto(proto).code(), absl::StatusCode::kUnknown);
  proto.set_code(17);
  EXPECT_EQ(FromProto(proto).code(), absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace cvm
