// SPDX-License-Identifier: Apache-2.0
#include "agent/core/networks.h"

#include "common/errors.h"
#include "gtest/gtest.h"

namespace cvm::agent::core {
namespace {

class NetworksTest : public ::testing::Test {
 protected:
  // A network of this subnet, with the gateway when one is given.
  void SetNetwork(const std::string& subnet, const std::string& gateway = "") {
    NetworkConfig network;
    network.id = "net";
    network.subnet = *Ipv4Subnet::Parse(subnet);
    if (!gateway.empty()) network.gateway = *Ipv4Address::Parse(gateway);
    config_.networks = {network};
  }

  // The address that a NIC gets that asks for `address`, or the reason why it gets none.
  std::string Assign(const std::string& address = "") {
    v1::InstanceSpec spec;
    spec.add_nics()->set_ipv4_address(address);
    const absl::Status status = AssignNics(config_, others_, *random_, spec);
    if (!status.ok()) return ReasonName(ReasonOf(status));
    v1::Instance instance;
    instance.set_id("ins-" + std::to_string(others_.size()));
    instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
    *instance.mutable_spec() = spec;
    others_.push_back(std::make_shared<v1::Instance>(instance));
    return spec.nics(0).ipv4_address();
  }

  Config config_;
  std::vector<InstancePtr> others_;
  const std::unique_ptr<Random> random_ = MakeSeededRandom(3);
};

TEST_F(NetworksTest, GivesTheLowestFreeAddressOnce) {
  SetNetwork("10.0.0.0/29", "10.0.0.2");
  EXPECT_EQ(Assign("10.0.0.3"), "10.0.0.3");
  EXPECT_EQ(Assign(), "10.0.0.1");
  EXPECT_EQ(Assign(), "10.0.0.4");
  EXPECT_EQ(Assign(), "10.0.0.5");
  EXPECT_EQ(Assign(), "10.0.0.6");
  EXPECT_EQ(Assign(), "NO_FREE_ADDRESS");
  EXPECT_EQ(Assign("10.0.0.3"), "ADDRESS_IN_USE");
  EXPECT_EQ(Assign("10.0.0.2"), "ADDRESS_IN_USE");
  for (const char* outside : {"10.0.0.0", "10.0.0.7", "10.0.0.8", "9.255.255.255"}) {
    EXPECT_EQ(Assign(outside), "ADDRESS_NOT_IN_SUBNET") << outside;
  }
}

TEST_F(NetworksTest, CountsBothEndsOfAPointToPointSubnet) {
  SetNetwork("10.0.0.0/31");
  EXPECT_EQ(Assign(), "10.0.0.0");
  EXPECT_EQ(Assign(), "10.0.0.1");
  EXPECT_EQ(Assign(), "NO_FREE_ADDRESS");
  others_.clear();
  SetNetwork("10.0.0.5/32");
  EXPECT_EQ(Assign(), "10.0.0.5");
  EXPECT_EQ(Assign(), "NO_FREE_ADDRESS");
  others_.clear();
  SetNetwork("255.255.255.252/30");
  EXPECT_EQ(Assign(), "255.255.255.253");
  EXPECT_EQ(Assign(), "255.255.255.254");
  EXPECT_EQ(Assign(), "NO_FREE_ADDRESS");
}

TEST_F(NetworksTest, LeavesTheAddressThatALaterNicOfTheRequestAsksFor) {
  SetNetwork("10.0.0.0/29");
  v1::InstanceSpec spec;
  spec.add_nics();
  spec.add_nics()->set_ipv4_address("10.0.0.1");
  spec.add_nics();
  ASSERT_TRUE(AssignNics(config_, {}, *random_, spec).ok());
  EXPECT_EQ(spec.nics(0).ipv4_address(), "10.0.0.2");
  EXPECT_EQ(spec.nics(1).ipv4_address(), "10.0.0.1");
  EXPECT_EQ(spec.nics(2).ipv4_address(), "10.0.0.3");
  EXPECT_NE(spec.nics(0).mac(), spec.nics(1).mac());
  EXPECT_NE(spec.nics(0).id(), spec.nics(1).id());
}

TEST_F(NetworksTest, FreesTheAddressesOfInstancesThatHoldNothing) {
  SetNetwork("10.0.0.5/32");
  EXPECT_EQ(Assign(), "10.0.0.5");
  v1::Instance failed = *others_[0];
  failed.set_lifecycle(v1::LIFECYCLE_LAUNCH_FAILED);
  others_ = {std::make_shared<v1::Instance>(failed)};
  EXPECT_EQ(Assign(), "10.0.0.5");
}

TEST_F(NetworksTest, HasNoNicWithoutANetwork) { EXPECT_EQ(Assign(), "NETWORK_NOT_FOUND"); }

TEST_F(NetworksTest, NamesTapsWithinFifteenBytes) {
  EXPECT_EQ(TapName("ins-1a2b3c4d", 7), "cvm1a2b3c4d-7");
  EXPECT_LE(TapName("ins-1a2b3c4d", 7).size(), 15u);
}

TEST(Ipv4Subnet, ParsesOnlyWholeSubnets) {
  for (const char* bad : {"", "10.0.0.0", "10.0.0.0/", "10.0.0.1/24", "10.0.0.0/33", "10.0.0.0/-1",
                          "10.0.0.0/024", "10.0.0.0/24 ", "::/0", "10.0.0/24"}) {
    EXPECT_FALSE(Ipv4Subnet::Parse(bad).has_value()) << bad;
  }
  EXPECT_EQ(Ipv4Subnet::Parse("0.0.0.0/0")->Broadcast().ToString(), "255.255.255.255");
  EXPECT_EQ(CanonicalIpv6WithPrefix("2001:DB8::0:5/64"), "2001:db8::5/64");
  for (const char* bad :
       {"2001:db8::5", "2001:db8::5/129", "2001:db8::5/", "10.0.0.1/24", "x/64"}) {
    EXPECT_FALSE(CanonicalIpv6WithPrefix(bad).has_value()) << bad;
  }
}

}  // namespace
}  // namespace cvm::agent::core
