// SPDX-License-Identifier: Apache-2.0
#include "cli/parse.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename T>
std::string MessageOf(const absl::StatusOr<T>& result) {
  return result.ok() ? "OK" : std::string(result.status().message());
}

TEST(ParseSize, TakesPlainNumbersInTheGivenUnit) {
  EXPECT_EQ(*ParseSize("10", kGib), 10 * kGib);
  EXPECT_EQ(*ParseSize("512", kMib), 512 * kMib);
}

TEST(ParseSize, TakesSuffixes) {
  EXPECT_EQ(*ParseSize("10G", kMib), 10 * kGib);
  EXPECT_EQ(*ParseSize("512M", kGib), 512 * kMib);
  EXPECT_EQ(*ParseSize("1T", kGib), 1024 * kGib);
  EXPECT_EQ(*ParseSize("2048K", kGib), 2 * kMib);
  EXPECT_EQ(*ParseSize("10GiB", kGib), 10 * kGib);
  EXPECT_EQ(*ParseSize("10g", kGib), 10 * kGib);
  EXPECT_EQ(*ParseSize("1.5G", kGib), 1536 * kMib);
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text : {"", "G", "ten", "-1", "+1", "1e3", "1.2.3", "10X", "10GG", "10 G",
                           "0x10", " 10", "10G ", "nan", "inf", "."}) {
    EXPECT_THAT(MessageOf(ParseSize(text, kGib)), HasSubstr("is not a size")) << text;
  }
}

TEST(ParseSize, RefusesNothingPartsOfMibAndTooMuch) {
  EXPECT_FALSE(ParseSize("0", kGib).ok());
  EXPECT_FALSE(ParseSize("1K", kGib).ok());
  EXPECT_FALSE(ParseSize("1.0001M", kGib).ok());
  EXPECT_THAT(MessageOf(ParseSize("99999999999T", kGib)), HasSubstr("too large"));
}

TEST(ParseBytes, TakesNothingAndOddNumbers) {
  EXPECT_EQ(*ParseBytes("0"), 0u);
  EXPECT_EQ(*ParseBytes("1001"), 1001u);
  EXPECT_EQ(*ParseBytes("64K"), 65536u);
  EXPECT_FALSE(ParseBytes("0.5").ok());
}

TEST(ParseDuration, TakesUnitsAndBareSeconds) {
  EXPECT_EQ(*ParseDuration("90s"), absl::Seconds(90));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("250ms"), absl::Milliseconds(250));
  EXPECT_EQ(*ParseDuration("7"), absl::Seconds(7));
  EXPECT_EQ(*ParseDuration("0"), absl::ZeroDuration());
}

TEST(ParseDuration, RefusesNegativeEndlessAndOther) {
  for (const char* text : {"", "-1s", "inf", "soon", "1000h1s", "99999999999999999999"}) {
    EXPECT_FALSE(ParseDuration(text).ok()) << text;
  }
}

TEST(ParseTag, SplitsAtTheFirstEquals) {
  EXPECT_EQ(*ParseTag("a=b"), std::pair(std::string("a"), std::string("b")));
  EXPECT_EQ(*ParseTag("a=b=c"), std::pair(std::string("a"), std::string("b=c")));
  EXPECT_EQ(*ParseTag("a="), std::pair(std::string("a"), std::string()));
  EXPECT_FALSE(ParseTag("a").ok());
  EXPECT_FALSE(ParseTag("=b").ok());
  EXPECT_FALSE(ParseTag("").ok());
}

TEST(ParseNic, TakesEveryKey) {
  const auto nic = ParseNic(
      "network=default,ip=192.0.2.10,mac=52:54:00:00:00:01,ipv6=2001:db8::5/64,ipv6=2001:db8::6/64,"
      "id=eni-00000001");
  ASSERT_TRUE(nic.ok()) << nic.status();
  EXPECT_EQ(nic->network_id(), "default");
  EXPECT_EQ(nic->ipv4_address(), "192.0.2.10");
  EXPECT_EQ(nic->mac(), "52:54:00:00:00:01");
  EXPECT_THAT(nic->ipv6_addresses(), ElementsAre("2001:db8::5/64", "2001:db8::6/64"));
  EXPECT_EQ(nic->id(), "eni-00000001");
}

TEST(ParseNic, RefusesUnknownRepeatedAndEmptyParts) {
  EXPECT_THAT(MessageOf(ParseNic("bridge=br0")), HasSubstr("the keys are network, ip"));
  EXPECT_THAT(MessageOf(ParseNic("ip=192.0.2.1,ip=192.0.2.2")), HasSubstr("'ip' is twice"));
  EXPECT_FALSE(ParseNic("").ok());
  EXPECT_FALSE(ParseNic("default").ok());
  EXPECT_FALSE(ParseNic("network=").ok());
  EXPECT_FALSE(ParseNic("network=default,").ok());
}

TEST(ParseDataDisk, TakesSizeAndId) {
  EXPECT_EQ(ParseDataDisk("5")->size_bytes(), 5 * kGib);
  EXPECT_EQ(ParseDataDisk("512M,id=disk-00000001")->id(), "disk-00000001");
  EXPECT_EQ(ParseDataDisk("512M,id=disk-00000001")->size_bytes(), 512 * kMib);
  // A volume has its size.
  EXPECT_EQ(ParseDataDisk("id=disk-00000001")->id(), "disk-00000001");
  EXPECT_EQ(ParseDataDisk("id=disk-00000001")->size_bytes(), 0u);
  EXPECT_FALSE(ParseDataDisk("id=").ok());
  EXPECT_FALSE(ParseDataDisk("5,id=").ok());
  EXPECT_FALSE(ParseDataDisk("5,serial=x").ok());
  EXPECT_FALSE(ParseDataDisk(",id=disk-00000001").ok());
}

TEST(ParseKeyLines, SkipsCommentsAndEmptyLines) {
  const auto keys = ParseKeyLines("# mine\nssh-ed25519 AAAA a@b\r\n\n  ssh-rsa BBBB  ");
  ASSERT_TRUE(keys.ok());
  EXPECT_THAT(*keys, ElementsAre("ssh-ed25519 AAAA a@b", "ssh-rsa BBBB"));
}

TEST(ParseKeyLines, RefusesPrivateKeysAndNothing) {
  EXPECT_THAT(MessageOf(ParseKeyLines("-----BEGIN OPENSSH PRIVATE KEY-----\nx\n")),
              HasSubstr("private key"));
  EXPECT_THAT(MessageOf(ParseKeyLines("# none\n")), HasSubstr("no public key"));
}

TEST(IsPublicKey, TellsKeysFromFileNames) {
  EXPECT_TRUE(IsPublicKey("ssh-ed25519 AAAA me"));
  EXPECT_TRUE(IsPublicKey("ecdsa-sha2-nistp256 AAAA"));
  EXPECT_FALSE(IsPublicKey("/root/.ssh/id_ed25519.pub"));
  EXPECT_FALSE(IsPublicKey("ssh-keys.pub"));
}

TEST(ParsePasswordHash, TakesTheFirstLineInCryptFormOnly) {
  EXPECT_EQ(*ParsePasswordHash("$6$salt$hash\nmore\n"), "$6$salt$hash");
  EXPECT_FALSE(ParsePasswordHash("hunter2\n").ok());
  EXPECT_FALSE(ParsePasswordHash("").ok());
  EXPECT_FALSE(ParsePasswordHash("$6").ok());
  // A clear password is not repeated in the message.
  EXPECT_THAT(MessageOf(ParsePasswordHash("hunter2")), ::testing::Not(HasSubstr("hunter2")));
}

TEST(ParseLoopbackAddress, TakesLoopbackOnly) {
  EXPECT_EQ(*ParseLoopbackAddress("127.0.0.1:7443"), "ipv4:127.0.0.1:7443");
  EXPECT_EQ(*ParseLoopbackAddress("127.9.9.9:1"), "ipv4:127.9.9.9:1");
  EXPECT_EQ(*ParseLoopbackAddress("localhost:80"), "ipv4:127.0.0.1:80");
  EXPECT_EQ(*ParseLoopbackAddress("[::1]:80"), "ipv6:[::1]:80");
  for (const char* text : {"192.0.2.1:80", "[2001:db8::1]:80", "example.org:80", "0.0.0.0:80"}) {
    EXPECT_THAT(MessageOf(ParseLoopbackAddress(text)), HasSubstr("not a loopback address")) << text;
  }
  for (const char* text : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", ":x"}) {
    EXPECT_THAT(MessageOf(ParseLoopbackAddress(text)), HasSubstr("write HOST:PORT")) << text;
  }
}

TEST(ParseChoices, NameWhatThereIs) {
  EXPECT_EQ(*ParseDiskFormat("raw"), agent::v1::DISK_FORMAT_RAW);
  EXPECT_EQ(*ParseCdromBus("ide"), agent::v1::CDROM_BUS_IDE);
  EXPECT_EQ(*ParseFirmware("uefi"), agent::v1::FIRMWARE_UEFI);
  EXPECT_EQ(*ParseOsFamily("windows"), agent::v1::OS_FAMILY_WINDOWS);
  EXPECT_EQ(*ParseMachineFamily("pc"), agent::v1::MACHINE_FAMILY_PC);
  EXPECT_EQ(*ParseStopMode("soft-first"), agent::v1::STOP_MODE_SOFT_FIRST);
  EXPECT_EQ(MessageOf(ParseDiskFormat("vmdk")), "'vmdk' is no disk format: one of qcow2, raw");
}

}  // namespace
}  // namespace cvm::cli
