// SPDX-License-Identifier: Apache-2.0
#include "agent/core/instance_page.h"

#include "common/clock.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"

namespace cvm::agent::core {
namespace {

const absl::Time kTime = absl::FromUnixSeconds(1'700'000'000) + absl::Milliseconds(5);

v1::ListInstancesResponse Parse(const std::string& bytes) {
  v1::ListInstancesResponse response;
  EXPECT_TRUE(response.ParseFromString(bytes));
  return response;
}

TEST(InstancePage, SerializesAsTheResponseThatItStandsFor) {
  InstanceTable table;
  v1::ListInstancesResponse expected;
  // Lengths of one, two and three bytes.
  for (const size_t name_bytes : {0, 500, 20000}) {
    v1::Instance instance;
    instance.set_id("ins-" + std::to_string(name_bytes));
    instance.set_uuid("uuid-" + std::to_string(name_bytes));
    instance.mutable_spec()->set_name(std::string(name_bytes, 'n'));
    instance.mutable_spec()->add_nics()->set_mac("52:54:00:00:00:01");
    (*instance.mutable_spec()->mutable_tags())["key"] = "value";
    table.Put(std::move(instance));
  }
  for (const InstancePtr& instance : table.All()) *expected.add_instances() = *instance;
  expected.set_next_page_token("more");
  *expected.mutable_observed_at() = ToTimestamp(kTime);

  const v1::ListInstancesResponse response = Parse(
      Serialize({.instances = table.List("", 3), .next_page_token = "more", .observed_at = kTime}));
  EXPECT_EQ(response.instances_size(), 3);
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(response, expected));
}

TEST(InstancePage, SerializesWhenEmpty) {
  const v1::ListInstancesResponse response =
      Parse(Serialize({.instances = {}, .next_page_token = "", .observed_at = kTime}));
  EXPECT_EQ(response.instances_size(), 0);
  EXPECT_EQ(response.next_page_token(), "");
  EXPECT_EQ(FromTimestamp(response.observed_at()), kTime);
}

}  // namespace
}  // namespace cvm::agent::core
