// SPDX-License-Identifier: Apache-2.0
#include "agent/core/domain_builder.h"

#include <algorithm>

#include "agent/core/networks.h"
#include "common/ids.h"
#include "common/redact.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

namespace cvm::agent::core {
namespace {

using hypervisor::DomainSpec;

hypervisor::CacheMode CacheModeOf(const std::string& word) {
  if (word == "writeback") return hypervisor::CacheMode::kWriteback;
  if (word == "writethrough") return hypervisor::CacheMode::kWritethrough;
  if (word == "directsync") return hypervisor::CacheMode::kDirectsync;
  if (word == "unsafe") return hypervisor::CacheMode::kUnsafe;
  return hypervisor::CacheMode::kNone;
}

hypervisor::CdromBus CdromBusOf(v1::CdromBus bus) {
  if (bus == v1::CDROM_BUS_SATA) return hypervisor::CdromBus::kSata;
  if (bus == v1::CDROM_BUS_IDE) return hypervisor::CdromBus::kIde;
  return hypervisor::CdromBus::kScsi;
}

}  // namespace

std::string MetadataOf(const v1::Instance& instance) {
  v1::Instance kept = instance;
  // What is derived, observed, or changes without a new definition; everything else stays, also
  // what is added to an instance later.
  kept.clear_etag();
  kept.clear_state();
  kept.clear_wanted_power();
  kept.clear_observed_power();
  kept.clear_latest_operation();
  kept.clear_denied_actions();
  if (kept.has_recycle()) kept.mutable_recycle()->clear_elapsed();
  Redact(kept);
  std::string json;
  // Cannot fail: the message has no Any, and its strings were checked to be UTF-8.
  const auto status = google::protobuf::util::MessageToJsonString(kept, &json);
  return status.ok() ? json : "{}";
}

absl::StatusOr<v1::Instance> InstanceOf(const std::string& metadata) {
  v1::Instance instance;
  // Of a newer agent there may be more in it than this one knows.
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto parsed = google::protobuf::util::JsonStringToMessage(metadata, &instance, options);
  if (!parsed.ok() || !IsId(kInstancePrefix, instance.id()) || instance.uuid().empty()) {
    return absl::InternalError("the metadata is not what an agent writes");
  }
  std::vector<std::string> disks;
  if (!instance.adopted()) disks.push_back(instance.spec().system_disk().id());
  for (const v1::DiskSpec& disk : instance.spec().data_disks()) disks.push_back(disk.id());
  for (const std::string& disk : disks) {
    // It becomes a path.
    if (!IsId(kDiskPrefix, disk)) return absl::InternalError("the metadata names no disk");
  }
  return instance;
}

DomainSpec BuildDomain(const Config& config, const Paths& paths, const v1::Instance& instance) {
  const v1::InstanceSpec& spec = instance.spec();
  const v1::GuestProperties& properties = spec.properties();
  DomainSpec domain;
  domain.name = instance.domain_name().empty() ? instance.id() : instance.domain_name();
  domain.uuid = instance.uuid();
  domain.title = spec.name();
  domain.machine_type = spec.machine_type();
  domain.machine_family = properties.machine_family() == v1::MACHINE_FAMILY_PC
                              ? hypervisor::MachineFamily::kPc
                              : hypervisor::MachineFamily::kQ35;
  domain.firmware = properties.firmware() == v1::FIRMWARE_UEFI ? hypervisor::Firmware::kUefi
                                                               : hypervisor::Firmware::kBios;
  domain.os_family = properties.os_family() == v1::OS_FAMILY_WINDOWS
                         ? hypervisor::OsFamily::kWindows
                         : hypervisor::OsFamily::kLinux;
  domain.cdrom_bus = CdromBusOf(properties.cdrom_bus());
  domain.vcpus = spec.vcpus();
  domain.memory_mib = spec.memory_mib();

  const auto add_disk = [&](const v1::DiskSpec& disk) {
    domain.disks.push_back({.id = disk.id(),
                            .path = paths.Volume(disk.id()),
                            .format = hypervisor::DiskFormat::kQcow2,
                            .cache = CacheModeOf(config.disk_cache),
                            .discard = true});
  };
  add_disk(spec.system_disk());
  for (const v1::DiskSpec& disk : spec.data_disks()) add_disk(disk);
  domain.cdroms[0].path = paths.ConfigDrive(instance.id(), instance.config_drive_generation());
  for (int i = 0; i < spec.nics_size(); ++i) {
    const v1::NicSpec& nic = spec.nics(i);
    const NetworkConfig* network = config.FindNetwork(nic.network_id());
    domain.nics.push_back({.id = nic.id(),
                           .mac = nic.mac(),
                           .bridge = network == nullptr ? "" : network->bridge,
                           .tap_name = TapName(instance.id(), i),
                           .mtu = network == nullptr ? 0 : network->mtu});
  }
  domain.console_log_path = paths.ConsoleLog(instance.id());
  if (domain.firmware == hypervisor::Firmware::kUefi) {
    domain.nvram_path = paths.Nvram(instance.id());
  }
  domain.metadata = MetadataOf(instance);
  return domain;
}

cloudinit::GuestSettings BuildGuestSettings(const Config& config, const v1::Instance& instance,
                                            const InstanceSecrets& secrets) {
  const v1::InstanceSpec& spec = instance.spec();
  cloudinit::GuestSettings settings;
  settings.instance_id = instance.id();
  settings.uuid = instance.uuid();
  settings.host_name = spec.host_name();
  settings.display_name = spec.name();
  settings.ssh_public_keys.assign(spec.login().ssh_public_keys().begin(),
                                  spec.login().ssh_public_keys().end());
  if (!secrets.password_hash.empty()) settings.password_hash = secrets.password_hash;
  settings.login_user = spec.properties().default_user();
  settings.user_data = secrets.user_data;
  for (const v1::NicSpec& nic : spec.nics()) {
    const NetworkConfig* network = config.FindNetwork(nic.network_id());
    if (network == nullptr) continue;
    cloudinit::Nic guest_nic{.id = nic.id(),
                             .mac = nic.mac(),
                             .mtu = static_cast<int>(network->mtu),
                             .addresses = {},
                             .gateway4 = std::nullopt,
                             .gateway6 = std::nullopt};
    guest_nic.addresses.push_back({nic.ipv4_address(), network->subnet.prefix_length});
    for (const std::string& address : nic.ipv6_addresses()) {
      const size_t slash = address.find('/');
      guest_nic.addresses.push_back(
          {address.substr(0, slash), std::stoi(address.substr(slash + 1))});
    }
    if (network->gateway) guest_nic.gateway4 = network->gateway->ToString();
    settings.nics.push_back(std::move(guest_nic));
    for (const std::string& server : network->name_servers) {
      if (std::find(settings.name_servers.begin(), settings.name_servers.end(), server) ==
          settings.name_servers.end()) {
        settings.name_servers.push_back(server);
      }
    }
    for (const std::string& domain : network->search_domains) {
      if (std::find(settings.search_domains.begin(), settings.search_domains.end(), domain) ==
          settings.search_domains.end()) {
        settings.search_domains.push_back(domain);
      }
    }
  }
  return settings;
}

}  // namespace cvm::agent::core
