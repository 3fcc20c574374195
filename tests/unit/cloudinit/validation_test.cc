// SPDX-License-Identifier: Apache-2.0
//
// The small validators: host names, user data, addresses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cloudinit/host_name.h"
#include "cloudinit/ip_address.h"
#include "cloudinit/user_data.h"

namespace cvm::cloudinit {
namespace {

using ::testing::HasSubstr;

TEST(HostName, LinuxAccepts) {
  for (const char* name :
       {"ab", "web1", "1a", "VM-0-48-centos", "a.b", "web-1.example.com", "a1.2"}) {
    EXPECT_TRUE(ValidateHostName(name, GuestOs::kLinux).ok()) << name;
  }
  EXPECT_TRUE(ValidateHostName(std::string(60, 'a'), GuestOs::kLinux).ok());
}

TEST(HostName, LinuxRefuses) {
  for (const std::string& name : std::vector<std::string>{"",
                                                          "a",
                                                          std::string(61, 'a'),
                                                          "-ab",
                                                          "ab-",
                                                          ".ab",
                                                          "ab.",
                                                          "a..b",
                                                          "a--b",
                                                          "a.-b",
                                                          "a-.b",
                                                          "123",
                                                          "10.0.0.1",
                                                          "1-2",
                                                          "a_b",
                                                          "a b",
                                                          "a\nb",
                                                          "a;b",
                                                          "$(id)",
                                                          "caf\xc3\xa9",
                                                          "\xe4\xb8\xad\xe6\x96\x87",
                                                          std::string("a\0b", 3),
                                                          "a/b",
                                                          "{R:1}"}) {
    const absl::Status status = ValidateHostName(name, GuestOs::kLinux);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_THAT(std::string(status.message()), HasSubstr("host name"));
  }
}

TEST(HostName, WindowsIsStricter) {
  EXPECT_TRUE(ValidateHostName("WIN-1a", GuestOs::kWindows).ok());
  EXPECT_TRUE(ValidateHostName(std::string(15, 'a'), GuestOs::kWindows).ok());
  for (const std::string& name : std::vector<std::string>{"a", std::string(16, 'a'), "a.b", "123",
                                                          "-ab", "ab-", "a--b", "a_b"}) {
    EXPECT_FALSE(ValidateHostName(name, GuestOs::kWindows).ok()) << name;
  }
}

TEST(HostName, CallersMayBeStricterButNotLaxer) {
  EXPECT_TRUE(ValidateHostName(std::string(31, 'a'), GuestOs::kLinux, 31).ok());
  EXPECT_FALSE(ValidateHostName(std::string(32, 'a'), GuestOs::kLinux, 31).ok());
  EXPECT_FALSE(ValidateHostName(std::string(61, 'a'), GuestOs::kLinux, 255).ok());
}

TEST(UserData, LimitIsExact) {
  EXPECT_TRUE(ValidateUserData("").ok());
  EXPECT_TRUE(ValidateUserData(std::string(16384, 'x')).ok());
  const absl::Status status = ValidateUserData(std::string(16385, 'x'));
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("at most 16384"));
}

TEST(UserData, NulOnlyInGzip) {
  EXPECT_TRUE(ValidateUserData("#!/bin/sh\n\xe9 latin-1 is fine\n").ok());
  EXPECT_TRUE(ValidateUserData(std::string("\x1f\x8b\x08\0\0\0", 6)).ok());
  EXPECT_FALSE(ValidateUserData(std::string("#!/bin/sh\0", 10)).ok());
  EXPECT_FALSE(ValidateUserData(std::string("\x1f\x8b\0\0", 4)).ok());
  EXPECT_FALSE(ValidateUserData(std::string("\x1f\x8b\x08", 3) + std::string(16384, '\0')).ok());
}

TEST(IpAddress, ParsesAndPrintsCanonically) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"192.168.0.1", "192.168.0.1"},
      {"2001:0DB8:0:0:0:0:0:53", "2001:db8::53"},
      {"::", "::"},
  };
  for (const auto& [text, canonical] : cases) {
    const std::optional<IpAddress> address = ParseIpAddress(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(ToText(*address), canonical);
  }
}

TEST(IpAddress, RefusesEverythingElse) {
  for (const std::string& text : std::vector<std::string>{
           "", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4/24", " 1.2.3.4", "1.2.3.4 ", "01.2.3.4x",
           "fe80::1%eth0", "::1::", "localhost", std::string("1.2.3.4\0x", 9)}) {
    EXPECT_FALSE(ParseIpAddress(text).has_value()) << text;
  }
}

TEST(IpAddress, Netmasks) {
  EXPECT_EQ(ToText(Netmask(IpFamily::kV4, 0)), "0.0.0.0");
  EXPECT_EQ(ToText(Netmask(IpFamily::kV4, 20)), "255.255.240.0");
  EXPECT_EQ(ToText(Netmask(IpFamily::kV4, 32)), "255.255.255.255");
  EXPECT_EQ(ToText(Netmask(IpFamily::kV6, 64)), "ffff:ffff:ffff:ffff::");
  EXPECT_EQ(ToText(Netmask(IpFamily::kV6, 61)), "ffff:ffff:ffff:fff8::");
}

TEST(IpAddress, PrefixesAndHostBits) {
  const auto ip = [](const char* text) { return *ParseIpAddress(text); };
  EXPECT_TRUE(SamePrefix(ip("10.0.15.1"), ip("10.0.1.1"), 20));
  EXPECT_FALSE(SamePrefix(ip("10.0.16.1"), ip("10.0.1.1"), 20));
  EXPECT_FALSE(SamePrefix(ip("10.0.0.1"), ip("a00:1::"), 1));
  EXPECT_TRUE(HostBitsAre(ip("10.0.15.255"), 20, true));
  EXPECT_TRUE(HostBitsAre(ip("10.0.0.0"), 20, false));
  EXPECT_FALSE(HostBitsAre(ip("10.0.1.0"), 20, false));
}

TEST(IpAddress, HostAddresses) {
  for (const char* text : {"10.0.0.1", "192.0.2.7", "223.255.255.1", "fd00::1", "fe80::1"}) {
    EXPECT_TRUE(IsHostAddress(*ParseIpAddress(text))) << text;
  }
  for (const char* text : {"0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1",
                           "255.255.255.255", "::", "::1", "ff02::1", "::ffff:10.0.0.1"}) {
    EXPECT_FALSE(IsHostAddress(*ParseIpAddress(text))) << text;
  }
  EXPECT_TRUE(IsLinkLocalV6(*ParseIpAddress("febf::1")));
  EXPECT_FALSE(IsLinkLocalV6(*ParseIpAddress("fec0::1")));
}

}  // namespace
}  // namespace cvm::cloudinit
