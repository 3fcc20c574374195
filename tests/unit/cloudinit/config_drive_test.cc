// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/config_drive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cloudinit/documents.h"
#include "tests/unit/cloudinit/iso_inspector.h"
#include "tests/unit/cloudinit/sample_settings.h"

namespace cvm::cloudinit {
namespace {

using testing::FullSettings;
using testing::Inspect;
using testing::InspectedImage;
using ::testing::IsEmpty;
using testing::MinimalSettings;

InspectedImage Build(const GuestSettings& settings) {
  const absl::StatusOr<std::string> image = BuildConfigDrive(settings);
  EXPECT_TRUE(image.ok()) << image.status();
  return Inspect(image.ok() ? *image : "");
}

TEST(ConfigDrive, HasTheLabelThatCloudInitLooksFor) {
  const InspectedImage image = Build(MinimalSettings());
  EXPECT_THAT(image.faults, IsEmpty());
  EXPECT_EQ(image.primary.label, "config-2");
  EXPECT_EQ(image.joliet.label, "config-2");
}

TEST(ConfigDrive, HoldsEveryDocumentInEachVersion) {
  const GuestSettings settings = FullSettings();
  const InspectedImage image = Build(settings);
  const auto& files = image.primary.by_name;
  for (const std::string version : {"latest", "2018-08-27"}) {
    const std::string folder = "openstack/" + version + "/";
    EXPECT_EQ(files.at(folder + "meta_data.json").content, *MetaDataJson(settings));
    EXPECT_EQ(files.at(folder + "network_data.json").content, *NetworkDataJson(settings));
    EXPECT_EQ(files.at(folder + "vendor_data.json").content, *VendorDataJson(settings));
    EXPECT_EQ(files.at(folder + "user_data").content, settings.user_data);
  }
  EXPECT_EQ(files.at("ec2/latest/meta-data.json").content, *Ec2MetaDataJson(settings));
  EXPECT_EQ(files.at("os_action/os.conf").content, OsConf(settings));
  EXPECT_EQ(files.at("qcloud_action/os.conf").content, OsConf(settings));
}

TEST(ConfigDrive, SecretsAreForRootInTheGuest) {
  const InspectedImage image = Build(FullSettings());
  const auto& files = image.primary.by_name;
  EXPECT_EQ(files.at("openstack/latest/vendor_data.json").mode & 0777U, 0400U);
  EXPECT_EQ(files.at("openstack/latest/user_data").mode & 0777U, 0400U);
  EXPECT_EQ(files.at("qcloud_action/os.conf").mode & 0777U, 0400U);
  EXPECT_EQ(files.at("openstack/latest/meta_data.json").mode & 0777U, 0444U);
  for (const auto& [path, entry] : files) {
    if ((entry.mode & 0044U) == 0) continue;
    EXPECT_EQ(entry.content.find("$6$"), std::string::npos) << path;
  }
}

TEST(ConfigDrive, EmptyUserDataHasNoFile) {
  const InspectedImage image = Build(MinimalSettings());
  EXPECT_EQ(image.primary.by_name.count("openstack/latest/user_data"), 0U);
}

TEST(ConfigDrive, UserDataIsTakenByteForByte) {
  GuestSettings settings = MinimalSettings();
  settings.user_data = std::string("\x1f\x8b\x08\0\xff\r\n\xfe", 8);
  settings.user_data.resize(16384, '\0');
  const InspectedImage image = Build(settings);
  EXPECT_EQ(image.primary.by_name.at("openstack/latest/user_data").content, settings.user_data);
}

TEST(ConfigDrive, SameSettingsSameBytes) {
  EXPECT_EQ(*BuildConfigDrive(FullSettings()), *BuildConfigDrive(FullSettings()));
  GuestSettings other = FullSettings();
  other.instance_id = "ins-abcd1234-2";
  EXPECT_NE(*BuildConfigDrive(FullSettings()), *BuildConfigDrive(other));
}

}  // namespace
}  // namespace cvm::cloudinit
