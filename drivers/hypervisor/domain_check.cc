// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/domain_check.h"

#include <algorithm>
#include <set>
#include <string>

#include "common/errors.h"
#include "common/status_macros.h"

namespace cvm::hypervisor {
namespace {

constexpr size_t kMaxNameBytes = 200;
constexpr size_t kMaxTitleBytes = 1024;
constexpr size_t kMaxPathBytes = 4095;
constexpr size_t kMaxSerialBytes = 20;
constexpr size_t kMaxInterfaceNameBytes = 15;

bool IsAsciiAlnum(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsWord(std::string_view text, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [extra](char c) {
    return IsAsciiAlnum(c) || extra.find(c) != std::string_view::npos;
  });
}

bool IsLowerHex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !IsLowerHex(text[i])) return false;
  }
  return true;
}

bool IsUnicastMac(std::string_view text) {
  if (text.size() != 17) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i % 3 == 2 ? text[i] != ':' : !IsLowerHex(text[i])) return false;
  }
  // The lowest bit of the first byte marks a group address.
  return std::string_view("02468ace").find(text[1]) != std::string_view::npos;
}

absl::Status CheckPath(const std::string& field, const std::string& path) {
  if (path.empty()) return MissingField(field);
  if (path[0] != '/') return InvalidField(field, "is not an absolute path");
  if (path.size() > kMaxPathBytes) return InvalidField(field, "is longer than 4095 bytes");
  if (!IsXmlText(path, false)) {
    return InvalidField(field, "holds control characters or is not UTF-8");
  }
  return absl::OkStatus();
}

absl::Status CheckInterfaceName(const std::string& field, const std::string& name) {
  if (name.empty()) return MissingField(field);
  if (name.size() > kMaxInterfaceNameBytes) return InvalidField(field, "is longer than 15 bytes");
  if (!IsWord(name, "_.-") || name == "." || name == "..") {
    return InvalidField(field, "may hold only letters, digits, '_', '.' and '-'");
  }
  return absl::OkStatus();
}

absl::Status CheckIdentity(const DomainSpec& spec) {
  if (spec.name.empty()) return MissingField("name");
  if (spec.name.size() > kMaxNameBytes) return InvalidField("name", "is longer than 200 bytes");
  if (!IsXmlText(spec.name, false) || spec.name.find('/') != std::string::npos ||
      spec.name[0] == '.' || spec.name.front() == ' ' || spec.name.back() == ' ') {
    return InvalidField("name",
                        "must be UTF-8 without control characters and '/', and must not begin with "
                        "'.' or begin or end with a space");
  }
  if (!IsUuid(spec.uuid)) return InvalidField("uuid", "is not a UUID in lower case");
  if (spec.title.size() > kMaxTitleBytes) return InvalidField("title", "is longer than 1024 bytes");
  if (!IsXmlText(spec.title, false)) {
    return InvalidField("title", "holds control characters or is not UTF-8");
  }
  if (spec.metadata.size() > kMaxMetadataBytes) {
    return InvalidField("metadata", "is longer than 1 MiB");
  }
  if (!IsXmlText(spec.metadata, true)) {
    return InvalidField("metadata", "holds control characters or is not UTF-8");
  }
  return absl::OkStatus();
}

// What a running guest can be given.
absl::Status CheckGrowth(const DomainSpec& spec) {
  if (spec.max_vcpus != 0 && (spec.max_vcpus < spec.vcpus || spec.max_vcpus > kMaxVcpus)) {
    return InvalidField("max_vcpus", "must be 0 or vcpus to 255");
  }
  if (spec.hotplug_memory_mib % kHotplugPieceMib != 0 ||
      spec.hotplug_memory_mib > kMaxMemoryMib - spec.memory_mib) {
    return InvalidField("hotplug_memory_mib",
                        "must be a multiple of 128, together with memory_mib at most 16777216");
  }
  if (spec.hotplug_requested_mib % kHotplugStepMib != 0 ||
      spec.hotplug_requested_mib > spec.hotplug_memory_mib) {
    return InvalidField("hotplug_requested_mib",
                        "must be a multiple of 4, at most hotplug_memory_mib");
  }
  if (spec.balloon_mib > spec.memory_mib) {
    return InvalidField("balloon_mib", "must be at most memory_mib");
  }
  return absl::OkStatus();
}

absl::Status CheckMachine(const DomainSpec& spec) {
  if (!spec.machine_type.empty() && !IsWord(spec.machine_type, "_.-")) {
    return InvalidField("machine_type", "may hold only letters, digits, '_', '.' and '-'");
  }
  if (spec.cpu_policy == CpuPolicy::kNamedModel && !IsWord(spec.cpu_model, "_.-")) {
    return InvalidField("cpu_model", "is not the name of a CPU model");
  }
  if (spec.vcpus < 1 || spec.vcpus > kMaxVcpus) {
    return InvalidField("vcpus", "must be 1 to 255");
  }
  if (spec.memory_mib < 1 || spec.memory_mib > kMaxMemoryMib) {
    return InvalidField("memory_mib", "must be 1 to 16777216");
  }
  CVM_RETURN_IF_ERROR(CheckGrowth(spec));
  if (spec.cdrom_bus == CdromBus::kIde && IsQ35(spec)) {
    return Error(
        ErrorReason::ERROR_REASON_FIELDS_CONFLICT,
        "An IDE CD-ROM needs a machine of family pc: q35 has no IDE. Choose pc, or SATA or "
        "SCSI where the guest has the driver.",
        {{"field", "cdrom_bus"}});
  }
  if (spec.firmware == Firmware::kUefi) {
    CVM_RETURN_IF_ERROR(CheckPath("nvram_path", spec.nvram_path));
  }
  return CheckPath("console_log_path", spec.console_log_path);
}

absl::Status CheckDisks(const DomainSpec& spec) {
  if (spec.disks.empty()) return MissingField("disks");
  if (spec.disks.size() > kMaxDisks) {
    return Error(ErrorReason::ERROR_REASON_TOO_MANY_DISKS,
                 "A domain has at most 21 disks (the system disk and 20 data disks).",
                 {{"field", "disks"}, {"limit", "21"}});
  }
  std::set<std::string> ids;
  for (size_t i = 0; i < spec.disks.size(); ++i) {
    const DiskDevice& disk = spec.disks[i];
    const std::string field = "disks[" + std::to_string(i) + "]";
    if (disk.id.size() > kMaxSerialBytes || !IsWord(disk.id, "_.-")) {
      return InvalidField(field + ".id", "must be 1 to 20 letters, digits, '_', '.' and '-'");
    }
    if (!ids.insert(disk.id).second) return InvalidField(field + ".id", "is used twice");
    CVM_RETURN_IF_ERROR(CheckPath(field + ".path", disk.path));
  }
  if (spec.boots_rescue_medium && spec.cdroms[kRescueCdrom].path.empty()) {
    return MissingField("cdroms[2].path");
  }
  for (size_t i = 0; i < std::size(spec.cdroms); ++i) {
    if (spec.cdroms[i].path.empty()) continue;
    CVM_RETURN_IF_ERROR(CheckPath("cdroms[" + std::to_string(i) + "].path", spec.cdroms[i].path));
  }
  return absl::OkStatus();
}

absl::Status CheckNics(const DomainSpec& spec) {
  if (spec.nics.size() > kMaxNics) {
    return Error(ErrorReason::ERROR_REASON_TOO_MANY_NICS, "A domain has at most 8 NICs.",
                 {{"field", "nics"}, {"limit", "8"}});
  }
  std::set<std::string> macs;
  std::set<std::string> taps;
  for (size_t i = 0; i < spec.nics.size(); ++i) {
    const NicDevice& nic = spec.nics[i];
    const std::string field = "nics[" + std::to_string(i) + "]";
    if (!IsUnicastMac(nic.mac)) {
      return InvalidField(field + ".mac", "is not a unicast MAC address in lower case");
    }
    if (!macs.insert(nic.mac).second) return InvalidField(field + ".mac", "is used twice");
    CVM_RETURN_IF_ERROR(CheckInterfaceName(field + ".bridge", nic.bridge));
    CVM_RETURN_IF_ERROR(CheckInterfaceName(field + ".tap_name", nic.tap_name));
    if (!taps.insert(nic.tap_name).second) {
      return InvalidField(field + ".tap_name", "is used twice");
    }
    // libvirt takes these for names that it made itself, and replaces them.
    for (const std::string_view reserved : {"vnet", "vif", "macvtap", "macvlan"}) {
      if (nic.tap_name.starts_with(reserved)) {
        return InvalidField(field + ".tap_name",
                            "begins with a prefix that libvirt keeps to itself");
      }
    }
    if (nic.mtu != 0 && (nic.mtu < 68 || nic.mtu > 65535)) {
      return InvalidField(field + ".mtu", "must be 0 (the bridge's) or 68 to 65535");
    }
  }
  return absl::OkStatus();
}

}  // namespace

bool IsXmlText(std::string_view text, bool line_breaks) {
  size_t i = 0;
  while (i < text.size()) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      const bool line_break = byte == '\t' || byte == '\n' || byte == '\r';
      if (line_break ? !line_breaks : byte < 0x20 || (byte == 0x7f && !line_breaks)) return false;
      ++i;
      continue;
    }
    const size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    if (byte < 0xc2 || byte > 0xf4 || text.size() - i < length) return false;
    uint32_t code = byte & (0xff >> (length + 1));
    for (size_t k = 1; k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) ||
        code == 0xfffe || code == 0xffff || (code < 0xa0 && !line_breaks)) {
      return false;
    }
    i += length;
  }
  return true;
}

bool IsQ35(const DomainSpec& spec) {
  if (spec.machine_type.empty()) return spec.machine_family == MachineFamily::kQ35;
  return spec.machine_type.find("q35") != std::string::npos;
}

absl::Status CheckDomainSpec(const DomainSpec& spec) {
  CVM_RETURN_IF_ERROR(CheckIdentity(spec));
  CVM_RETURN_IF_ERROR(CheckMachine(spec));
  CVM_RETURN_IF_ERROR(CheckDisks(spec));
  return CheckNics(spec);
}

}  // namespace cvm::hypervisor
