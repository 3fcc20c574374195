// SPDX-License-Identifier: Apache-2.0
#include "agent/core/validation.h"

#include <algorithm>
#include <array>
#include <set>

#include "agent/core/ip_address.h"
#include "cloudinit/host_name.h"
#include "cloudinit/password_hash.h"
#include "cloudinit/ssh_key.h"
#include "cloudinit/user_data.h"
#include "common/clock.h"
#include "common/errors.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/utf8.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "google/protobuf/descriptor.h"

namespace cvm::agent::core {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kMaxName = 60;
constexpr size_t kMaxDescription = 255;
constexpr size_t kMaxOwner = 128;
constexpr int kMaxTags = 50;
constexpr size_t kMaxTagKey = 127;
constexpr size_t kMaxTagValue = 255;
constexpr int kMaxDataDisks = 20;
constexpr int kMaxNics = 8;
constexpr int kMaxSshKeys = 16;
constexpr int kMaxIpv6PerNic = 16;
constexpr uint64_t kMinMemoryMib = 64;
constexpr uint64_t kMib = 1 << 20;
constexpr uint64_t kMinDataDiskBytes = kMib;
constexpr size_t kMaxSourceFile = 1024;
constexpr std::array<std::string_view, 6> kUpdatePaths = {
    "owner",     "spec.name",      "spec.description",
    "spec.tags", "spec.user_data", "spec.termination_protection"};

absl::Status OutOfRange(std::string_view field, std::string_view limit) {
  return Error(ErrorReason::ERROR_REASON_INVALID_FIELD, fmt::format("{} must be {}", field, limit),
               {{"field", std::string(field)}, {"limit", std::string(limit)}});
}

// A check of cloudinit/, under the reason and the field that clients know.
absl::Status As(ErrorReason reason, const std::string& field, const absl::Status& status) {
  if (status.ok()) return status;
  return Error(reason, fmt::format("{}: {}", field, std::string(status.message())),
               {{"field", field}});
}

absl::Status CheckOptionalId(std::string_view field, std::string_view prefix,
                             std::string_view text) {
  return text.empty() ? absl::OkStatus() : CheckId(field, prefix, text);
}

absl::Status CheckDiskSize(std::string_view field, uint64_t bytes) {
  if (bytes % kMib != 0) return OutOfRange(field, "a whole number of MiB");
  return absl::OkStatus();
}

absl::Status CheckMac(const std::string& field, std::string_view mac) {
  const auto bad = [&] {
    return OutOfRange(field, "six hexadecimal bytes with colons, unicast: 52:54:00:12:34:56");
  };
  if (mac.size() != 17) return bad();
  for (size_t i = 0; i < mac.size(); ++i) {
    const bool ok = i % 3 == 2 ? mac[i] == ':' : isxdigit(static_cast<unsigned char>(mac[i])) != 0;
    if (!ok) return bad();
  }
  // The lowest bit of the first byte marks a group address.
  const int low = std::stoi(std::string(1, mac[1]), nullptr, 16);
  if (low % 2 != 0 || mac == "00:00:00:00:00:00") return bad();
  return absl::OkStatus();
}

absl::Status CheckDisks(const v1::InstanceSpec& spec) {
  std::set<std::string> ids;
  CVM_RETURN_IF_ERROR(CheckOptionalId("spec.system_disk.id", kDiskPrefix, spec.system_disk().id()));
  CVM_RETURN_IF_ERROR(
      CheckDiskSize("spec.system_disk.size_bytes", spec.system_disk().size_bytes()));
  if (!spec.system_disk().id().empty()) ids.insert(spec.system_disk().id());
  if (spec.data_disks_size() > kMaxDataDisks) {
    return Error(ErrorReason::ERROR_REASON_TOO_MANY_DISKS,
                 fmt::format("{} data disks, at most {} are possible", spec.data_disks_size(),
                             kMaxDataDisks),
                 {{"field", "spec.data_disks"}, {"limit", std::to_string(kMaxDataDisks)}});
  }
  for (int i = 0; i < spec.data_disks_size(); ++i) {
    const v1::DiskSpec& disk = spec.data_disks(i);
    const std::string field = fmt::format("spec.data_disks[{}]", i);
    CVM_RETURN_IF_ERROR(CheckOptionalId(field + ".id", kDiskPrefix, disk.id()));
    // One with an id may be a volume, which has a size.
    if (disk.size_bytes() == 0 && disk.id().empty()) return MissingField(field + ".size_bytes");
    if (disk.size_bytes() != 0 && disk.size_bytes() < kMinDataDiskBytes) {
      return OutOfRange(field + ".size_bytes", "at least 1 MiB");
    }
    CVM_RETURN_IF_ERROR(CheckDiskSize(field + ".size_bytes", disk.size_bytes()));
    if (!disk.id().empty() && !ids.insert(disk.id()).second) {
      return Error(ErrorReason::ERROR_REASON_DUPLICATE_ID,
                   fmt::format("{} is given twice: {}", field + ".id", disk.id()),
                   {{"field", field + ".id"}});
    }
  }
  return absl::OkStatus();
}

absl::Status CheckNics(const v1::InstanceSpec& spec) {
  if (spec.nics_size() > kMaxNics) {
    return Error(ErrorReason::ERROR_REASON_TOO_MANY_NICS,
                 fmt::format("{} NICs, at most {} are possible", spec.nics_size(), kMaxNics),
                 {{"field", "spec.nics"}, {"limit", std::to_string(kMaxNics)}});
  }
  std::set<std::string> ids;
  for (int i = 0; i < spec.nics_size(); ++i) {
    const v1::NicSpec& nic = spec.nics(i);
    const std::string field = fmt::format("spec.nics[{}]", i);
    CVM_RETURN_IF_ERROR(CheckOptionalId(field + ".id", kNicPrefix, nic.id()));
    if (!nic.id().empty() && !ids.insert(nic.id()).second) {
      return Error(ErrorReason::ERROR_REASON_DUPLICATE_ID,
                   fmt::format("{} is given twice: {}", field + ".id", nic.id()),
                   {{"field", field + ".id"}});
    }
    CVM_RETURN_IF_ERROR(CheckText(field + ".network_id", nic.network_id(), 0, 64));
    if (!nic.mac().empty()) CVM_RETURN_IF_ERROR(CheckMac(field + ".mac", nic.mac()));
    if (!nic.ipv4_address().empty() && !Ipv4Address::Parse(nic.ipv4_address())) {
      return OutOfRange(field + ".ipv4_address", "an IPv4 address without a prefix length");
    }
    if (nic.ipv6_addresses_size() > kMaxIpv6PerNic) {
      return OutOfRange(field + ".ipv6_addresses", "at most 16");
    }
    for (const std::string& address : nic.ipv6_addresses()) {
      if (!CanonicalIpv6WithPrefix(address)) {
        return OutOfRange(field + ".ipv6_addresses", "IPv6 addresses with prefix: 2001:db8::5/64");
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLogin(const std::string& field, const v1::LoginSettings& login) {
  if (login.ssh_public_keys_size() > kMaxSshKeys) {
    return OutOfRange(field + ".ssh_public_keys", "at most 16 keys");
  }
  for (int i = 0; i < login.ssh_public_keys_size(); ++i) {
    CVM_RETURN_IF_ERROR(As(ErrorReason::ERROR_REASON_INVALID_SSH_KEY,
                           fmt::format("{}.ssh_public_keys[{}]", field, i),
                           cloudinit::ValidateSshPublicKey(login.ssh_public_keys(i))));
  }
  if (login.password_hash().empty()) return absl::OkStatus();
  return As(ErrorReason::ERROR_REASON_INVALID_PASSWORD_HASH, field + ".password_hash",
            cloudinit::ValidatePasswordHash(login.password_hash()));
}

// What people write about an instance.
absl::Status CheckLabels(const v1::InstanceSpec& spec) {
  CVM_RETURN_IF_ERROR(CheckText("spec.name", spec.name(), 0, kMaxName));
  CVM_RETURN_IF_ERROR(CheckText("spec.description", spec.description(), 0, kMaxDescription));
  if (spec.tags_size() > kMaxTags) return OutOfRange("spec.tags", "at most 50 tags");
  for (const auto& [key, value] : spec.tags()) {
    CVM_RETURN_IF_ERROR(CheckText("spec.tags", key, 1, kMaxTagKey));
    CVM_RETURN_IF_ERROR(CheckText("spec.tags", value, 0, kMaxTagValue));
  }
  return absl::OkStatus();
}

absl::Status CheckUserData(const std::string& user_data) {
  if (user_data.size() > cloudinit::kMaxUserDataBytes) {
    return Error(
        ErrorReason::ERROR_REASON_USER_DATA_TOO_LARGE,
        fmt::format("user data has {} bytes, at most {} are possible", user_data.size(),
                    cloudinit::kMaxUserDataBytes),
        {{"field", "spec.user_data"}, {"limit", std::to_string(cloudinit::kMaxUserDataBytes)}});
  }
  return As(ErrorReason::ERROR_REASON_INVALID_FIELD, "spec.user_data",
            cloudinit::ValidateUserData(user_data));
}

absl::Status CheckProperties(const std::string& field, const v1::GuestProperties& properties) {
  CVM_RETURN_IF_ERROR(CheckText(field + ".default_user", properties.default_user(), 0, 32));
  const bool plain = std::all_of(
      properties.default_user().begin(), properties.default_user().end(),
      [](unsigned char c) { return isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; });
  if (!plain || properties.default_user().starts_with("-")) {
    return OutOfRange(field + ".default_user", "letters, digits, '-', '_' and '.'");
  }
  if (properties.cdrom_bus() == v1::CDROM_BUS_IDE &&
      properties.machine_family() != v1::MACHINE_FAMILY_PC) {
    return Error(ErrorReason::ERROR_REASON_FIELDS_CONFLICT,
                 "IDE drives need machine_family PC: a Q35 board has no IDE bus",
                 {{"field", field + ".cdrom_bus"}});
  }
  if (properties.cdrom_bus() == v1::CDROM_BUS_SATA &&
      properties.machine_family() == v1::MACHINE_FAMILY_PC) {
    return Error(ErrorReason::ERROR_REASON_FIELDS_CONFLICT,
                 "SATA drives need machine_family Q35: a PC board has no SATA bus",
                 {{"field", field + ".cdrom_bus"}});
  }
  return absl::OkStatus();
}

absl::Status CheckMessageEnums(const Message& message, const std::string& prefix) {
  const auto* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_map()) continue;
    const std::string name = prefix + field->name();
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
        const int value = field->is_repeated() ? reflection->GetRepeatedEnumValue(message, field, i)
                                               : reflection->GetEnumValue(message, field);
        if (field->enum_type()->FindValueByNumber(value) == nullptr) {
          return Error(ErrorReason::ERROR_REASON_UNKNOWN_ENUM_VALUE,
                       fmt::format("{} has no value {}", name, value), {{"field", name}});
        }
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        const Message& inner = field->is_repeated()
                                   ? reflection->GetRepeatedMessage(message, field, i)
                                   : reflection->GetMessage(message, field);
        CVM_RETURN_IF_ERROR(CheckMessageEnums(inner, name + "."));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckText(std::string_view field, std::string_view value, size_t min, size_t max) {
  if (value.empty() && min > 0) return MissingField(field);
  if (value.size() < min || value.size() > max) {
    return OutOfRange(field, fmt::format("{} to {} bytes", min, max));
  }
  if (!IsSingleLineText(value)) {
    return OutOfRange(field, "one line of UTF-8 without control characters");
  }
  return absl::OkStatus();
}

absl::Status CheckEnums(const Message& message) { return CheckMessageEnums(message, ""); }

absl::Status CheckTimeout(bool present, const google::protobuf::Duration& timeout) {
  if (!present) return absl::OkStatus();
  const absl::Duration duration = FromProtoDuration(timeout);
  if (duration < absl::Seconds(1) || duration > absl::Hours(1)) {
    return OutOfRange("timeout", "1 s to 1 h");
  }
  return absl::OkStatus();
}

absl::Status ValidateCreate(const v1::CreateInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(CheckEnums(request));
  CVM_RETURN_IF_ERROR(CheckOptionalId("instance_id", kInstancePrefix, request.instance_id()));
  CVM_RETURN_IF_ERROR(CheckText("owner", request.owner(), 0, kMaxOwner));
  if (!request.has_spec()) return MissingField("spec");
  const v1::InstanceSpec& spec = request.spec();
  CVM_RETURN_IF_ERROR(CheckLabels(spec));
  CVM_RETURN_IF_ERROR(CheckId("spec.image_id", kImagePrefix, spec.image_id()));
  if (spec.vcpus() == 0) return MissingField("spec.vcpus");
  if (spec.memory_mib() == 0) return MissingField("spec.memory_mib");
  if (spec.memory_mib() < kMinMemoryMib) return OutOfRange("spec.memory_mib", "at least 64");
  if (spec.max_vcpus() != 0 && spec.max_vcpus() < spec.vcpus()) {
    return OutOfRange("spec.max_vcpus", "0, or at least spec.vcpus");
  }
  if (spec.max_memory_mib() != 0 && spec.max_memory_mib() < spec.memory_mib()) {
    return OutOfRange("spec.max_memory_mib", "0, or at least spec.memory_mib");
  }
  CVM_RETURN_IF_ERROR(CheckDisks(spec));
  CVM_RETURN_IF_ERROR(CheckNics(spec));
  CVM_RETURN_IF_ERROR(CheckLogin("spec.login", spec.login()));
  CVM_RETURN_IF_ERROR(CheckUserData(spec.user_data()));
  if (!spec.machine_type().empty()) {
    return InvalidField("spec.machine_type", "is chosen by the agent: leave it empty");
  }
  return absl::OkStatus();
}

absl::Status ValidateUpdate(const v1::UpdateInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(CheckEnums(request));
  if (request.update_mask().paths().empty()) return MissingField("update_mask");
  for (const std::string& path : request.update_mask().paths()) {
    if (std::find(kUpdatePaths.begin(), kUpdatePaths.end(), path) == kUpdatePaths.end()) {
      return OutOfRange("update_mask", fmt::format("paths of {}", fmt::join(kUpdatePaths, ", ")));
    }
  }
  CVM_RETURN_IF_ERROR(CheckText("owner", request.owner(), 0, kMaxOwner));
  CVM_RETURN_IF_ERROR(CheckLabels(request.spec()));
  return CheckUserData(request.spec().user_data());
}

absl::Status ValidateResize(const v1::ResizeInstanceRequest& request) {
  if (request.vcpus() == 0 && request.memory_mib() == 0) return MissingField("vcpus");
  if (request.memory_mib() != 0 && request.memory_mib() < kMinMemoryMib) {
    return OutOfRange("memory_mib", "at least 64");
  }
  CVM_RETURN_IF_ERROR(CheckTimeout(request.has_timeout(), request.timeout()));
  if (request.online() && request.force_stop()) {
    return Error(ErrorReason::ERROR_REASON_FIELDS_CONFLICT,
                 "online and force_stop exclude each other: change the running guest, or stop it",
                 {{"field", "force_stop"}});
  }
  return absl::OkStatus();
}

absl::Status ValidateReinstall(const v1::ReinstallInstanceRequest& request) {
  CVM_RETURN_IF_ERROR(CheckOptionalId("image_id", kImagePrefix, request.image_id()));
  CVM_RETURN_IF_ERROR(CheckDiskSize("system_disk_size_bytes", request.system_disk_size_bytes()));
  if (request.keep_image_login() && GivesLogin(request.login())) {
    return Error(ErrorReason::ERROR_REASON_FIELDS_CONFLICT,
                 "login and keep_image_login exclude each other: set a login, or leave the image's",
                 {{"field", "keep_image_login"}});
  }
  return CheckLogin("login", request.login());
}

absl::Status ValidateRescue(const v1::EnterRescueRequest& request) {
  return CheckLogin("login", request.login());
}

bool GivesLogin(const v1::LoginSettings& login) {
  return login.ssh_public_keys_size() > 0 || !login.password_hash().empty();
}

absl::Status ValidateForGuest(const v1::InstanceSpec& spec) {
  CVM_RETURN_IF_ERROR(CheckProperties("spec.properties", spec.properties()));
  const bool windows = spec.properties().os_family() == v1::OS_FAMILY_WINDOWS;
  return As(ErrorReason::ERROR_REASON_INVALID_HOST_NAME, "spec.host_name",
            cloudinit::ValidateHostName(spec.host_name(), windows ? cloudinit::GuestOs::kWindows
                                                                  : cloudinit::GuestOs::kLinux));
}

absl::Status ValidateImport(const v1::ImportImageRequest& request) {
  CVM_RETURN_IF_ERROR(CheckEnums(request));
  CVM_RETURN_IF_ERROR(CheckOptionalId("image_id", kImagePrefix, request.image_id()));
  CVM_RETURN_IF_ERROR(CheckText("name", request.name(), 1, kMaxName));
  CVM_RETURN_IF_ERROR(CheckText("source_file", request.source_file(), 1, kMaxSourceFile));
  CVM_RETURN_IF_ERROR(CheckText("owner", request.owner(), 0, kMaxOwner));
  if (request.format() == v1::DISK_FORMAT_UNSPECIFIED) return MissingField("format");
  if (!request.sha256().empty()) {
    const bool hex = std::all_of(request.sha256().begin(), request.sha256().end(),
                                 [](unsigned char c) { return isxdigit(c) != 0; });
    if (request.sha256().size() != 64 || !hex) {
      return OutOfRange("sha256", "64 hexadecimal digits");
    }
  }
  return CheckProperties("properties", request.properties());
}

}  // namespace cvm::agent::core
