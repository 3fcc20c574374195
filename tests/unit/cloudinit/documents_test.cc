// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "cloudinit/json_text.h"
#include "tests/unit/cloudinit/sample_settings.h"
#include "tests/unit/cloudinit/temporary_directory.h"

namespace cvm::cloudinit {
namespace {

using nlohmann::json;
using testing::FullSettings;
using ::testing::HasSubstr;
using testing::MinimalSettings;
using ::testing::Not;

using Builder = absl::StatusOr<std::string> (*)(const GuestSettings&);

json Parse(Builder builder, const GuestSettings& settings) {
  const absl::StatusOr<std::string> text = builder(settings);
  EXPECT_TRUE(text.ok()) << text.status();
  return text.ok() ? json::parse(*text) : json();
}

// The object after "#cloud-config", as it comes out of vendor_data.json.
json CloudConfig(const GuestSettings& settings) {
  const std::string text = Parse(VendorDataJson, settings)["cloud-init"];
  const std::string kHeader = "#cloud-config\n";
  EXPECT_TRUE(text.starts_with(kHeader));
  return json::parse(text.substr(kHeader.size()));
}

struct Sample {
  const char* name;
  std::function<GuestSettings()> make;
};

GuestSettings With(GuestSettings settings, const std::function<void(GuestSettings&)>& change) {
  change(settings);
  return settings;
}

std::vector<Sample> Samples() {
  return {
      {"minimal", MinimalSettings},
      {"full", FullSettings},
      {"password_of_default_user",
       [] {
         return With(MinimalSettings(), [](auto& s) { s.password_hash = testing::kSha512Hash; });
       }},
      {"password_of_root",
       [] {
         return With(MinimalSettings(), [](auto& s) {
           s.password_hash = testing::kYescryptHash;
           s.login_user = "root";
         });
       }},
      {"keys_of_named_user",
       [] {
         return With(MinimalSettings(), [](auto& s) {
           s.host_name = "db-1.example.test";
           s.ssh_public_keys = {testing::kEd25519Key, testing::kEcdsaKey};
           s.login_user = "alice";
           s.nics = {{.id = "eni-dhcp0001", .mac = "52:54:00:00:00:01"}};
         });
       }},
      {"password_and_keys_of_named_user",
       [] {
         return With(FullSettings(), [](auto& s) {
           s.login_user = "admin";
           s.ssh_password_login = true;
         });
       }},
      {"ipv6_only",
       [] {
         return With(MinimalSettings(), [](auto& s) {
           s.nics = {{.id = "eni-v6000001",
                      .mac = "52:54:00:00:00:06",
                      .mtu = 1280,
                      .addresses = {{"2001:db8::10", 64}, {"2001:db8:0:1::10", 56}},
                      .gateway6 = "2001:db8:0:1::1"}};
           s.name_servers = {"2001:db8::53"};
         });
       }},
  };
}

// Golden files: tests/testdata/cloudinit/<sample>/<document>. With CVM_UPDATE_GOLDEN set, they are
// written anew and the test fails, so that nobody leaves it set.
TEST(Documents, MatchTheirGoldenFiles) {
  const bool update = std::getenv("CVM_UPDATE_GOLDEN") != nullptr;
  const std::vector<std::pair<const char*, Builder>> documents = {
      {"meta_data.json", MetaDataJson},        {"network_data.json", NetworkDataJson},
      {"vendor_data.json", VendorDataJson},    {"vendor.cloud-config", VendorCloudConfig},
      {"ec2-meta-data.json", Ec2MetaDataJson},
  };
  for (const Sample& sample : Samples()) {
    const std::filesystem::path folder =
        std::filesystem::path(CVM_TESTDATA) / "cloudinit" / sample.name;
    const GuestSettings settings = sample.make();
    ASSERT_TRUE(ValidateGuestSettings(settings).ok()) << ValidateGuestSettings(settings);
    for (const auto& [name, builder] : documents) {
      const absl::StatusOr<std::string> text = builder(settings);
      ASSERT_TRUE(text.ok()) << text.status();
      if (update) {
        std::filesystem::create_directories(folder);
        testing::WriteFile(folder / name, *text);
        ADD_FAILURE() << "wrote " << folder / name;
      } else {
        EXPECT_EQ(*text, testing::ReadFile(folder / name)) << sample.name << "/" << name;
      }
    }
  }
}

TEST(Documents, TextSurvivesQuotesBackslashesAndUnicode) {
  GuestSettings settings = MinimalSettings();
  const std::string name =
      "\"'\\ </script> {{x}} $(id) `id` %s \xf0\x9f\x98\x80 \xe4\xb8\xad # : - [";
  settings.display_name = name;
  const std::string key = std::string(testing::kEd25519Key) + " \"}], \\u0041 " + name;
  settings.ssh_public_keys = {key};
  settings.login_user = "alice";
  ASSERT_TRUE(ValidateGuestSettings(settings).ok()) << ValidateGuestSettings(settings);
  EXPECT_EQ(Parse(MetaDataJson, settings)["name"], name);
  EXPECT_EQ(Parse(MetaDataJson, settings)["public_keys"]["key-0"], key);
  EXPECT_EQ(CloudConfig(settings)["users"][1]["ssh_authorized_keys"][0], key);
}

TEST(Documents, NotUtf8IsAnErrorThatNamesTheDocument) {
  GuestSettings settings = MinimalSettings();
  settings.display_name = "secret \xff";
  const absl::Status status = MetaDataJson(settings).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("meta_data.json"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

TEST(MetaData, InstanceIdIsWhatCloudInitReads) {
  const json document = Parse(MetaDataJson, FullSettings());
  EXPECT_EQ(document["uuid"], "ins-abcd1234-1");
  EXPECT_EQ(document["meta"]["domain_uuid"], "6f1d9a52-3c1e-4b8e-9d43-0a1b2c3d4e5f");
  EXPECT_EQ(Parse(Ec2MetaDataJson, FullSettings())["instance-id"], document["uuid"]);
}

TEST(MetaData, DisplayNameFallsBackToTheHostName) {
  EXPECT_EQ(Parse(MetaDataJson, MinimalSettings())["name"], "web1");
}

TEST(NetworkData, EveryAddressIsANetworkOfItsLink) {
  const json document = Parse(NetworkDataJson, FullSettings());
  ASSERT_EQ(document["networks"].size(), 3U);
  for (const json& network : document["networks"]) {
    EXPECT_TRUE(std::any_of(document["links"].begin(), document["links"].end(),
                            [&](const json& link) { return link["id"] == network["link"]; }));
  }
}

TEST(NetworkData, LaterDefaultRoutesHaveAHigherMetric) {
  const json networks = Parse(NetworkDataJson, FullSettings())["networks"];
  const json& first = networks[0]["routes"][0];
  const json& second = networks[2]["routes"][0];
  EXPECT_EQ(first["gateway"], "192.168.122.1");
  EXPECT_FALSE(first.contains("metric"));
  EXPECT_EQ(second["gateway"], "10.1.0.1");
  EXPECT_EQ(second["metric"], 100);
  EXPECT_EQ(networks[1]["routes"][0]["gateway"], "fe80::1");
  EXPECT_FALSE(networks[1]["routes"][0].contains("metric")) << "the first of its family";
}

TEST(NetworkData, RouteGoesWithTheAddressThatReachesTheGateway) {
  GuestSettings settings = MinimalSettings();
  settings.nics = {{.id = "eni-1",
                    .mac = "52:54:00:00:00:01",
                    .addresses = {{"10.0.0.5", 24}, {"10.0.1.5", 24}},
                    .gateway4 = "10.0.1.1"}};
  const json networks = Parse(NetworkDataJson, settings)["networks"];
  EXPECT_TRUE(networks[0]["routes"].empty());
  EXPECT_EQ(networks[1]["routes"].size(), 1U);
}

TEST(NetworkData, NicWithoutAddressAsksDhcp) {
  GuestSettings settings = MinimalSettings();
  settings.nics = {{.id = "eni-1", .mac = "52:54:00:00:00:01"}};
  const json networks = Parse(NetworkDataJson, settings)["networks"];
  ASSERT_EQ(networks.size(), 1U);
  EXPECT_EQ(networks[0]["type"], "ipv4_dhcp");
}

TEST(NetworkData, UnreachableGatewayIsAnError) {
  GuestSettings settings = FullSettings();
  settings.nics[0].gateway4 = "172.16.0.1";
  EXPECT_EQ(NetworkDataJson(settings).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(VendorData, PasswordIsGivenInBothFormsWhereThatIsSafe) {
  GuestSettings settings = FullSettings();
  json chpasswd = CloudConfig(settings)["chpasswd"];
  const json user = {{"name", "root"}, {"password", testing::kSha512Hash}, {"type", "hash"}};
  EXPECT_EQ(chpasswd["users"], json::array({user}));
  EXPECT_EQ(chpasswd["list"], json::array({std::string("root:") + testing::kSha512Hash}));
  EXPECT_EQ(chpasswd["expire"], false);

  settings.password_hash = testing::kYescryptHash;
  chpasswd = CloudConfig(settings)["chpasswd"];
  EXPECT_EQ(chpasswd["users"][0]["password"], testing::kYescryptHash);
  EXPECT_FALSE(chpasswd.contains("list")) << "it would become the password, as a clear text";
}

TEST(VendorData, PasswordOfTheDefaultUser) {
  GuestSettings settings = MinimalSettings();
  settings.password_hash = testing::kSha512Hash;
  const json config = CloudConfig(settings);
  EXPECT_EQ(config["password"], testing::kSha512Hash);
  EXPECT_EQ(config["chpasswd"], json({{"expire", false}}));
  EXPECT_FALSE(config.contains("users"));
}

TEST(VendorData, SshPasswordLoginFollowsPasswordAndKeys) {
  GuestSettings settings = MinimalSettings();
  EXPECT_FALSE(CloudConfig(settings).contains("ssh_pwauth"));
  settings.password_hash = testing::kSha512Hash;
  EXPECT_EQ(CloudConfig(settings)["ssh_pwauth"], true);
  settings.ssh_public_keys = {testing::kEd25519Key};
  EXPECT_EQ(CloudConfig(settings)["ssh_pwauth"], false);
  settings.ssh_password_login = true;
  EXPECT_EQ(CloudConfig(settings)["ssh_pwauth"], true);
}

TEST(VendorData, RootIsLetInOnlyWhenItIsTheLoginUser) {
  GuestSettings settings = FullSettings();
  json config = CloudConfig(settings);
  EXPECT_EQ(config["disable_root"], false);
  EXPECT_FALSE(config.contains("users"));
  EXPECT_FALSE(config.contains("write_files")) << "keys: no password login, sshd's default will do";

  settings.ssh_public_keys.clear();
  config = CloudConfig(settings);
  EXPECT_EQ(config["write_files"][0]["content"], "PermitRootLogin yes\n");

  settings.login_user = "alice";
  config = CloudConfig(settings);
  EXPECT_FALSE(config.contains("disable_root"));
  EXPECT_FALSE(config.contains("write_files"));
}

TEST(VendorData, NamedUserComesBesideTheDefaultOne) {
  GuestSettings settings = FullSettings();
  settings.login_user = "alice";
  json users = CloudConfig(settings)["users"];
  ASSERT_EQ(users.size(), 2U);
  EXPECT_EQ(users[0], "default");
  EXPECT_EQ(users[1]["name"], "alice");
  EXPECT_EQ(users[1]["lock_passwd"], false);
  EXPECT_EQ(users[1]["ssh_authorized_keys"], json(settings.ssh_public_keys));
  settings.password_hash.reset();
  EXPECT_EQ(CloudConfig(settings)["users"][1]["lock_passwd"], true);
}

TEST(VendorData, DottedHostNameIsKeptWhole) {
  GuestSettings settings = MinimalSettings();
  EXPECT_FALSE(CloudConfig(settings).contains("prefer_fqdn_over_hostname"));
  settings.host_name = "web1.example.test";
  EXPECT_EQ(CloudConfig(settings)["prefer_fqdn_over_hostname"], true);
}

}  // namespace
}  // namespace cvm::cloudinit
