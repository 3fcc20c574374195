// SPDX-License-Identifier: Apache-2.0
#include "common/redact.h"

#include "cvm/agent/v1/instance_service.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/struct.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace cvm {
namespace {

using agent::v1::CreateInstanceRequest;
using testing::HasSubstr;
using testing::Not;

constexpr char kSecret[] = "TOPSECRET";

CreateInstanceRequest Request() {
  CreateInstanceRequest request;
  request.set_request_id("r-1");
  request.mutable_spec()->set_name("a \"b\"\n\x1b");
  request.mutable_spec()->set_user_data(kSecret);
  request.mutable_spec()->mutable_login()->set_password_hash(kSecret);
  request.mutable_spec()->mutable_login()->add_ssh_public_keys("ssh-ed25519 AAAA");
  (*request.mutable_spec()->mutable_tags())["k"] = "v";
  request.mutable_spec()->add_data_disks()->set_size_bytes(1);
  request.mutable_spec()->add_data_disks()->set_size_bytes(2);
  return request;
}

TEST(Redact, ClearsSensitiveFieldsAndNothingElse) {
  CreateInstanceRequest request = Request();
  Redact(request);
  EXPECT_THAT(request.SerializeAsString(), Not(HasSubstr(kSecret)));
  CreateInstanceRequest expected = Request();
  expected.mutable_spec()->clear_user_data();
  expected.mutable_spec()->mutable_login()->clear_password_hash();
  EXPECT_EQ(request.SerializeAsString(), expected.SerializeAsString());
}

TEST(Redact, LooksIntoAnyAndAnyWithinAny) {
  google::protobuf::Any inner;
  inner.PackFrom(Request());
  google::protobuf::Any outer;
  outer.PackFrom(inner);
  google::rpc::Status status;
  status.set_message("kept");
  *status.add_details() = inner;
  *status.add_details() = outer;
  ASSERT_THAT(status.SerializeAsString(), HasSubstr(kSecret));
  Redact(status);
  EXPECT_THAT(status.SerializeAsString(), Not(HasSubstr(kSecret)));
  EXPECT_EQ(status.message(), "kept");
  CreateInstanceRequest request;
  ASSERT_TRUE(status.details(0).UnpackTo(&request));
  EXPECT_EQ(request.request_id(), "r-1");
  EXPECT_EQ(request.spec().data_disks_size(), 2);
  google::protobuf::Any unpacked;
  ASSERT_TRUE(status.details(1).UnpackTo(&unpacked));
  ASSERT_TRUE(unpacked.UnpackTo(&request));
  EXPECT_EQ(request.spec().login().ssh_public_keys_size(), 1);
}

TEST(Redact, LooksIntoMaps) {
  // A map of messages: google.protobuf.Struct holds lists of values at any depth.
  google::protobuf::Struct object;
  (*object.mutable_fields())["k"].mutable_list_value()->add_values()->set_string_value("kept");
  const std::string before = object.SerializeAsString();
  Redact(object);
  EXPECT_EQ(object.SerializeAsString(), before);
  auto* value = (*object.mutable_fields())["k"].mutable_list_value()->mutable_values(0);
  google::protobuf::Value::GetReflection()->MutableUnknownFields(value)->AddLengthDelimited(
      99, kSecret);
  Redact(object);
  EXPECT_EQ(object.SerializeAsString(), before);
}

TEST(Redact, ClearsWhatItCannotJudge) {
  CreateInstanceRequest request = Request();
  CreateInstanceRequest::GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
      999, kSecret);
  Redact(request);
  EXPECT_THAT(request.SerializeAsString(), Not(HasSubstr(kSecret)));

  google::protobuf::Any unknown;
  unknown.set_type_url("type.googleapis.com/of.a.newer.Peer");
  unknown.set_value(kSecret);
  Redact(unknown);
  EXPECT_EQ(unknown.value(), "");
  EXPECT_EQ(RedactedText(unknown), "[unknown]: \"[redacted]\"");

  google::protobuf::Any broken;
  broken.PackFrom(Request());
  broken.set_value(std::string("\xff\xff") + kSecret);
  EXPECT_THAT(RedactedText(broken), Not(HasSubstr(kSecret)));
  Redact(broken);
  EXPECT_EQ(broken.value(), "");
}

TEST(Redact, SurvivesDeepNesting) {
  google::protobuf::Any any;
  any.PackFrom(Request());
  for (int i = 0; i < 200; ++i) {
    google::protobuf::Any outer;
    outer.PackFrom(any);
    any = std::move(outer);
  }
  EXPECT_THAT(RedactedText(any), Not(HasSubstr(kSecret)));
  Redact(any);
  EXPECT_THAT(any.SerializeAsString(), Not(HasSubstr(kSecret)));
}

TEST(RedactedText, ShowsEverythingButSecretsOnOneLine) {
  EXPECT_EQ(
      RedactedText(Request()),
      "request_id: \"r-1\" spec { name: \"a \\\"b\\\"\\n\\033\" tags { key: \"k\" value: \"v\" }"
      " data_disks { size_bytes: 1 } data_disks { size_bytes: 2 }"
      " login { ssh_public_keys: \"ssh-ed25519 AAAA\" password_hash: \"[redacted]\" }"
      " user_data: \"[redacted]\" }");
}

TEST(RedactedText, LooksIntoAny) {
  google::rpc::Status status;
  status.add_details()->PackFrom(Request());
  const std::string text = RedactedText(status);
  EXPECT_THAT(text, HasSubstr("details { [cvm.agent.v1.CreateInstanceRequest] { request_id"));
  EXPECT_THAT(text, HasSubstr("user_data: \"[redacted]\""));
  EXPECT_THAT(text, Not(HasSubstr(kSecret)));
}

TEST(RedactedText, LeavesTheMessageAlone) {
  const CreateInstanceRequest request = Request();
  RedactedText(request);
  EXPECT_EQ(request.spec().user_data(), kSecret);
}

TEST(RedactedText, UnsetSecretsAreNotShown) {
  EXPECT_EQ(RedactedText(CreateInstanceRequest()), "");
}

}  // namespace
}  // namespace cvm
