// SPDX-License-Identifier: Apache-2.0
#include "drivers/network/fake_bridges.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::network {
namespace {

TEST(FakeBridges, TellsWhatItWasTold) {
  FakeBridges bridges;
  EXPECT_FALSE(*bridges.IsUp("br0"));
  bridges.SetBridge("br0", true);
  EXPECT_TRUE(*bridges.IsUp("br0"));
  bridges.SetBridge("br0", false);
  EXPECT_FALSE(*bridges.IsUp("br0"));
  bridges.SetBridge("br0", true);
  bridges.RemoveBridge("br0");
  EXPECT_FALSE(*bridges.IsUp("br0"));
}

TEST(FakeBridges, RemovesTaps) {
  FakeBridges bridges;
  bridges.AddTap("tap0");
  bridges.AddTap("tap1");
  EXPECT_TRUE(bridges.RemoveTap("tap0").ok());
  EXPECT_TRUE(bridges.RemoveTap("tap0").ok());
  EXPECT_THAT(bridges.taps(), testing::ElementsAre("tap1"));
}

TEST(FakeBridges, FailsOnRequest) {
  FakeBridges bridges;
  bridges.AddTap("tap0");
  bridges.FailWith(absl::InternalError("no"));
  EXPECT_FALSE(bridges.IsUp("br0").ok());
  EXPECT_FALSE(bridges.RemoveTap("tap0").ok());
  bridges.FailWith(absl::OkStatus());
  EXPECT_THAT(bridges.taps(), testing::ElementsAre("tap0"));
}

}  // namespace
}  // namespace cvm::network
