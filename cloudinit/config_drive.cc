// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/config_drive.h"

#include <absl/status/status.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <utility>

#include "cloudinit/documents.h"

namespace cvm::cloudinit {
namespace {

constexpr std::array<const char*, 2> kVersions = {"2018-08-27", "latest"};
// The documentation that guests' scripts are written by names both.
constexpr std::array<const char*, 2> kOsConfFolders = {"os_action", "qcloud_action"};
constexpr std::uint32_t kPublic = 0444;
constexpr std::uint32_t kSecret = 0400;

// Fixed, so that the drive can be rebuilt byte for byte; any time will do.
constexpr std::chrono::sys_seconds kFileTime =
    std::chrono::sys_days(std::chrono::year(2020) / std::chrono::January / 1);

// A document of the OpenStack tree: its name in each version's folder, and its content.
struct Document {
  std::string name;
  std::string content;
  std::uint32_t mode;
};

absl::StatusOr<std::vector<Document>> OpenStackDocuments(const GuestSettings& settings) {
  struct Source {
    const char* name;
    absl::StatusOr<std::string> (*build)(const GuestSettings&);
    std::uint32_t mode;
  };
  constexpr std::array<Source, 3> kSources = {{
      {"meta_data.json", MetaDataJson, kPublic},
      {"network_data.json", NetworkDataJson, kPublic},
      {"vendor_data.json", VendorDataJson, kSecret},
  }};
  std::vector<Document> documents;
  for (const Source& source : kSources) {
    absl::StatusOr<std::string> content = source.build(settings);
    if (!content.ok()) return content.status();
    documents.push_back({source.name, *std::move(content), source.mode});
  }
  if (!settings.user_data.empty()) documents.push_back({"user_data", settings.user_data, kSecret});
  return documents;
}

}  // namespace

absl::StatusOr<std::vector<IsoFile>> ConfigDriveFiles(const GuestSettings& settings) {
  if (absl::Status status = ValidateGuestSettings(settings); !status.ok()) return status;
  absl::StatusOr<std::vector<Document>> documents = OpenStackDocuments(settings);
  if (!documents.ok()) return documents.status();
  absl::StatusOr<std::string> ec2 = Ec2MetaDataJson(settings);
  if (!ec2.ok()) return ec2.status();

  std::vector<IsoFile> files;
  for (const char* version : kVersions) {
    for (const Document& document : *documents) {
      files.push_back({"openstack/" + std::string(version) + "/" + document.name, document.content,
                       document.mode});
    }
  }
  files.push_back({"ec2/latest/meta-data.json", *std::move(ec2), kPublic});
  for (const char* folder : kOsConfFolders) {
    files.push_back({std::string(folder) + "/os.conf", OsConf(settings), kSecret});
  }
  return files;
}

absl::StatusOr<std::string> BuildConfigDrive(const GuestSettings& settings) {
  absl::StatusOr<std::vector<IsoFile>> files = ConfigDriveFiles(settings);
  if (!files.ok()) return files.status();
  return WriteIso({.volume_label = kConfigDriveLabel, .mtime = kFileTime}, *std::move(files));
}

}  // namespace cvm::cloudinit
