// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/guest_settings.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "cloudinit/config_drive.h"
#include "tests/unit/cloudinit/sample_settings.h"

namespace cvm::cloudinit {
namespace {

using testing::FullSettings;
using ::testing::HasSubstr;
using testing::MinimalSettings;
using ::testing::Not;

TEST(GuestSettings, AcceptsTheSamples) {
  EXPECT_TRUE(ValidateGuestSettings(MinimalSettings()).ok());
  EXPECT_TRUE(ValidateGuestSettings(FullSettings()).ok()) << ValidateGuestSettings(FullSettings());
}

struct Refusal {
  const char* message;
  std::function<void(GuestSettings&)> spoil;
};

// Each refusal comes from ValidateGuestSettings and so from the drive's builder too.
void ExpectRefused(const std::vector<Refusal>& cases) {
  for (const Refusal& refusal : cases) {
    GuestSettings settings = FullSettings();
    refusal.spoil(settings);
    const absl::Status status = ValidateGuestSettings(settings);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << refusal.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(refusal.message));
    EXPECT_EQ(BuildConfigDrive(settings).status(), status);
  }
}

TEST(GuestSettings, RefusesBadIdentity) {
  ExpectRefused({
      {"instance_id", [](auto& s) { s.instance_id = ""; }},
      {"instance_id", [](auto& s) { s.instance_id = "../../etc"; }},
      {"instance_id", [](auto& s) { s.instance_id = ".."; }},
      {"instance_id", [](auto& s) { s.instance_id = "a b"; }},
      {"instance_id", [](auto& s) { s.instance_id = std::string(65, 'a'); }},
      {"uuid", [](auto& s) { s.uuid = ""; }},
      {"uuid", [](auto& s) { s.uuid = "6F1D9A52-3C1E-4B8E-9D43-0A1B2C3D4E5F"; }},
      {"uuid", [](auto& s) { s.uuid = "6f1d9a523c1e4b8e9d430a1b2c3d4e5f"; }},
      {"host name", [](auto& s) { s.host_name = ""; }},
      {"host name", [](auto& s) { s.host_name = "a\"b"; }},
      {"display_name", [](auto& s) { s.display_name = "two\nlines"; }},
      {"display_name", [](auto& s) { s.display_name = "not UTF-8 \xff"; }},
      {"display_name", [](auto& s) { s.display_name = std::string("a\0b", 3); }},
      {"display_name", [](auto& s) { s.display_name = std::string(513, 'x'); }},
  });
}

TEST(GuestSettings, RefusesBadCredentials) {
  ExpectRefused({
      {"ssh_public_keys[1]", [](auto& s) { s.ssh_public_keys[1] = "ssh-rsa AAAA"; }},
      {"ssh_public_keys[0]", [](auto& s) { s.ssh_public_keys[0] += "\nssh-rsa AAAA"; }},
      {"ssh_public_keys[2] is given more than once",
       [](auto& s) { s.ssh_public_keys.push_back(s.ssh_public_keys[0]); }},
      {"101 ssh_public_keys", [](auto& s) { s.ssh_public_keys.resize(101); }},
      {"login_user", [](auto& s) { s.login_user = "a:b"; }},
      {"login_user", [](auto& s) { s.login_user = "a b"; }},
      {"login_user", [](auto& s) { s.login_user = "-rf"; }},
      {"login_user", [](auto& s) { s.login_user = "1000"; }},
      {"login_user", [](auto& s) { s.login_user = "a\nb"; }},
      {"login_user", [](auto& s) { s.login_user = std::string(33, 'a'); }},
      {"password hash", [](auto& s) { s.password_hash = "secret"; }},
      {"password hash", [](auto& s) { s.password_hash = ""; }},
      {"needs login_user",
       [](auto& s) {
         s.login_user = "";
         s.password_hash = testing::kYescryptHash;
       }},
      {"user data", [](auto& s) { s.user_data = std::string(16385, 'x'); }},
      {"user data", [](auto& s) { s.user_data = std::string("a\0b", 3); }},
  });
}

TEST(GuestSettings, RefusesBadNics) {
  ExpectRefused({
      {"nics[0] has an id", [](auto& s) { s.nics[0].id = ""; }},
      {"nics[0] has an id", [](auto& s) { s.nics[0].id = "eth0\"x"; }},
      {"nics[1] has the id", [](auto& s) { s.nics[1].id = s.nics[0].id; }},
      {"nics[0] has a mac", [](auto& s) { s.nics[0].mac = "52:54:00:AA:BB:01"; }},
      {"nics[0] has a mac", [](auto& s) { s.nics[0].mac = "52-54-00-aa-bb-01"; }},
      {"nics[0] has a mac", [](auto& s) { s.nics[0].mac = "53:54:00:aa:bb:01"; }},
      {"nics[0] has a mac", [](auto& s) { s.nics[0].mac = "00:00:00:00:00:00"; }},
      {"nics[0] has a mac", [](auto& s) { s.nics[0].mac = "52:54:00:aa:bb"; }},
      {"nics[1] has the mac", [](auto& s) { s.nics[1].mac = s.nics[0].mac; }},
      {"MTU 1279", [](auto& s) { s.nics[0].mtu = 1279; }},
      {"MTU 575", [](auto& s) { s.nics[1].mtu = 575; }},
      {"MTU 65536", [](auto& s) { s.nics[1].mtu = 65536; }},
      {"MTU -1", [](auto& s) { s.nics[1].mtu = -1; }},
  });
}

TEST(GuestSettings, RefusesBadAddresses) {
  ExpectRefused({
      {"nics[0].addresses[1] is not", [](auto& s) { s.nics[0].addresses[1].ip = "fd00::g"; }},
      {"addresses[0] is not", [](auto& s) { s.nics[0].addresses[0].ip = "192.168.122.10/24"; }},
      {"prefix length 33", [](auto& s) { s.nics[0].addresses[0].prefix_length = 33; }},
      {"prefix length 0", [](auto& s) { s.nics[0].addresses[0].prefix_length = 0; }},
      {"prefix length 129", [](auto& s) { s.nics[0].addresses[1].prefix_length = 129; }},
      {"of its network", [](auto& s) { s.nics[0].addresses[0].ip = "192.168.122.0"; }},
      {"broadcast", [](auto& s) { s.nics[0].addresses[0].ip = "192.168.122.255"; }},
      {"multicast", [](auto& s) { s.nics[0].addresses[0].ip = "224.0.0.1"; }},
      {"loopback", [](auto& s) { s.nics[0].addresses[0].ip = "127.0.0.1"; }},
      {"nics[1].addresses[1] is given more than once",
       [](auto& s) { s.nics[1].addresses.push_back(s.nics[1].addresses[0]); }},
      {"nics[1].addresses[0] is given more than once",
       [](auto& s) { s.nics[1].addresses[0] = s.nics[0].addresses[0]; }},
  });
}

TEST(GuestSettings, RefusesBadGatewaysAndResolvers) {
  ExpectRefused({
      {"nics[0].gateway4 is outside", [](auto& s) { s.nics[0].gateway4 = "192.168.123.1"; }},
      {"nics[0].gateway4 is the NIC's own", [](auto& s) { s.nics[0].gateway4 = "192.168.122.10"; }},
      {"nics[0].gateway4 is not", [](auto& s) { s.nics[0].gateway4 = "fe80::1"; }},
      {"nics[0].gateway4 is not", [](auto& s) { s.nics[0].gateway4 = ""; }},
      {"nics[0].gateway6 is not", [](auto& s) { s.nics[0].gateway6 = "10.0.0.1"; }},
      {"nics[0].gateway6 is outside", [](auto& s) { s.nics[0].gateway6 = "fd00:0:0:2::1"; }},
      {"nics[1].gateway6 needs", [](auto& s) { s.nics[1].gateway6 = "fe80::1"; }},
      {"name_servers[1]", [](auto& s) { s.name_servers[1] = "dns.example.test"; }},
      {"name_servers[0]", [](auto& s) { s.name_servers[0] = "0.0.0.0"; }},
      {"name_servers has more", [](auto& s) { s.name_servers.resize(9, "10.0.0.1"); }},
      {"search_domains[0]", [](auto& s) { s.search_domains[0] = "a..b"; }},
      {"search_domains[0]", [](auto& s) { s.search_domains[0] = "a b"; }},
      {"search_domains[0]", [](auto& s) { s.search_domains[0] = "a\nnameserver 6.6.6.6"; }},
      {"search_domains[0]", [](auto& s) { s.search_domains[0] = std::string(64, 'a'); }},
      {"search_domains has more", [](auto& s) { s.search_domains.resize(33, "x"); }},
      {"name server", [](auto& s) { s.name_servers.clear(); }},
  });
}

TEST(GuestSettings, PointToPointPrefixesHaveNoBroadcast) {
  GuestSettings settings = FullSettings();
  settings.nics[1].addresses = {{"10.9.0.0", 31}};
  settings.nics[1].gateway4 = "10.9.0.1";
  EXPECT_TRUE(ValidateGuestSettings(settings).ok()) << ValidateGuestSettings(settings);
}

TEST(GuestSettings, ErrorsDoNotQuoteSecrets) {
  GuestSettings settings = FullSettings();
  settings.password_hash = "hunter2";
  EXPECT_THAT(ValidateGuestSettings(settings).ToString(), Not(HasSubstr("hunter2")));
  settings = FullSettings();
  settings.user_data = std::string("hunter2\0", 8);
  EXPECT_THAT(ValidateGuestSettings(settings).ToString(), Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace cvm::cloudinit
