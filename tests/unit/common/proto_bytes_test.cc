// SPDX-License-Identifier: Apache-2.0
#include "common/proto_bytes.h"

#include <string>

#include "cvm/agent/v1/instance.pb.h"
#include "gtest/gtest.h"

namespace cvm {
namespace {

TEST(DeterministicBytes, DoNotDependOnTheOrderOfInsertion) {
  agent::v1::InstanceSpec forward;
  agent::v1::InstanceSpec backward;
  for (int i = 0; i < 50; ++i) {
    (*forward.mutable_tags())[std::to_string(i)] = "v";
    (*backward.mutable_tags())[std::to_string(49 - i)] = "v";
  }
  EXPECT_EQ(DeterministicBytes(forward), DeterministicBytes(backward));
  agent::v1::InstanceSpec parsed;
  ASSERT_TRUE(parsed.ParseFromString(DeterministicBytes(forward)));
  EXPECT_EQ(parsed.tags_size(), 50);
  parsed.set_vcpus(1);
  EXPECT_NE(DeterministicBytes(parsed), DeterministicBytes(forward));
}

}  // namespace
}  // namespace cvm
