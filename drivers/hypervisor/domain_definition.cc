// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/domain_definition.h"

#include "fmt/format.h"
#include "fmt/ranges.h"

namespace cvm::hypervisor {
namespace {

std::string FileNameOf(const std::string& path) {
  return path.empty() ? "nothing" : path.substr(path.rfind('/') + 1);
}

}  // namespace

DomainDefinition DefinitionOf(const DomainSpec& spec) {
  DomainDefinition definition;
  definition.name = spec.name;
  definition.uuid = spec.uuid;
  definition.vcpus = spec.vcpus;
  definition.memory_mib = spec.memory_mib;
  definition.machine_type = spec.machine_type;
  definition.firmware = spec.firmware;
  definition.metadata = spec.metadata;
  for (size_t i = 0; i < spec.disks.size(); ++i) {
    definition.disks.push_back(
        {.target = fmt::format("vd{:c}", static_cast<char>('a' + i)),
         .cdrom = false,
         .path = spec.disks[i].path,
         .format = spec.disks[i].format == DiskFormat::kRaw ? "raw" : "qcow2"});
  }
  const char bus = spec.cdrom_bus == CdromBus::kIde ? 'h' : 's';
  for (size_t i = 0; i < spec.cdroms.size(); ++i) {
    definition.disks.push_back({.target = fmt::format("{:c}d{:c}", bus, static_cast<char>('a' + i)),
                                .cdrom = true,
                                .path = spec.cdroms[i].path,
                                .format = "raw"});
  }
  for (const NicDevice& nic : spec.nics) definition.nics.push_back({nic.mac, nic.bridge});
  return definition;
}

std::vector<std::string> DifferencesOf(const DomainDefinition& wanted,
                                       const DomainDefinition& found) {
  std::vector<std::string> differences;
  const auto differ = [&](const std::string& what) { differences.push_back(what); };
  if (found.vcpus != wanted.vcpus) {
    differ(fmt::format("{} vCPUs instead of {}", found.vcpus, wanted.vcpus));
  }
  if (found.memory_mib != wanted.memory_mib) {
    differ(fmt::format("{} MiB of memory instead of {}", found.memory_mib, wanted.memory_mib));
  }
  if (!wanted.machine_type.empty() && found.machine_type != wanted.machine_type) {
    differ(fmt::format("machine {} instead of {}", found.machine_type, wanted.machine_type));
  }
  if (found.firmware != wanted.firmware) differ("another firmware");
  const auto find_disk = [](const DomainDefinition& in, const std::string& target) {
    for (const DomainDefinition::Disk& disk : in.disks) {
      if (disk.target == target) return &disk;
    }
    return static_cast<const DomainDefinition::Disk*>(nullptr);
  };
  bool first_cdrom = true;
  for (const DomainDefinition::Disk& disk : wanted.disks) {
    const DomainDefinition::Disk* present = find_disk(found, disk.target);
    // Only the config drive's medium is the record's to say.
    const bool any_medium = disk.cdrom && !std::exchange(first_cdrom, !disk.cdrom);
    if (present == nullptr) {
      differ(fmt::format("no {}", disk.target));
    } else if (!any_medium && present->path != disk.path) {
      differ(fmt::format("{} is {} instead of {}", disk.target, FileNameOf(present->path),
                         FileNameOf(disk.path)));
    } else if (!disk.cdrom && present->format != disk.format) {
      differ(
          fmt::format("{} is read as {} instead of {}", disk.target, present->format, disk.format));
    }
  }
  for (const DomainDefinition::Disk& disk : found.disks) {
    if (find_disk(wanted, disk.target) == nullptr) {
      differ(fmt::format("one more disk, {}", disk.target));
    }
  }
  if (found.nics.size() != wanted.nics.size()) {
    differ(fmt::format("{} NICs instead of {}", found.nics.size(), wanted.nics.size()));
  } else {
    for (size_t i = 0; i < wanted.nics.size(); ++i) {
      if (found.nics[i].mac != wanted.nics[i].mac) {
        differ(fmt::format("NIC {} has MAC {} instead of {}", i, found.nics[i].mac,
                           wanted.nics[i].mac));
      } else if (found.nics[i].bridge != wanted.nics[i].bridge) {
        differ(fmt::format("NIC {} is on bridge '{}' instead of '{}'", i, found.nics[i].bridge,
                           wanted.nics[i].bridge));
      }
    }
  }
  if (found.extras != wanted.extras) {
    differ(fmt::format("devices that the agent did not define: {}", fmt::join(found.extras, ", ")));
  }
  return differences;
}

}  // namespace cvm::hypervisor
