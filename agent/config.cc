// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "cloudinit/ip_address.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/toml_config.h"
#include "fmt/format.h"

namespace cvm::agent {
namespace {

using core::Ipv4Address;
using core::Ipv4Subnet;

constexpr std::array<std::string_view, 5> kCacheModes = {"none", "writeback", "writethrough",
                                                         "directsync", "unsafe"};
constexpr std::array<std::string_view, 2> kBootStarts = {"always", "never"};
constexpr std::array<std::string_view, 4> kLogLevels = {"debug", "info", "warning", "error"};

void GetAbsolutePath(TomlTable& table, std::string_view key, std::string* out) {
  table.GetString(key, out);
  if (out->empty() || out->front() != '/') table.AddError(key, "must be an absolute path");
}

template <size_t N>
void GetOneOf(TomlTable& table, std::string_view key, const std::array<std::string_view, N>& words,
              std::string* out) {
  table.GetString(key, out);
  if (std::find(words.begin(), words.end(), *out) == words.end()) {
    table.AddError(key, fmt::format("must be one of: {}", fmt::join(words, ", ")));
  }
}

// "127.x.x.x:port" or "[::1]:port". No names: what a name stands for can change.
bool IsLoopback(std::string_view address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view port = address.substr(colon + 1);
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size()) return false;
  const std::string_view host = address.substr(0, colon);
  const std::optional<Ipv4Address> ipv4 = Ipv4Address::Parse(host);
  return host == "[::1]" || (ipv4 && ipv4->bits >> 24 == 127);
}

void ReadListen(TomlTable table, const std::string& run_dir, Config::Listen& listen) {
  listen.socket = run_dir + "/agent.sock";
  GetAbsolutePath(table, "socket", &listen.socket);
  table.GetString("group", &listen.group);
  table.GetString("tcp", &listen.tcp);
  table.GetBool("insecure", &listen.insecure);
  table.GetInt("max_threads", 4, 1024, &listen.max_threads);
  if (listen.tcp.empty()) return;
  if (!listen.insecure) {
    table.AddError("tcp", "cleartext TCP needs insecure = true");
  } else if (!IsLoopback(listen.tcp)) {
    table.AddError("tcp", "cleartext TCP is for loopback only (127.x.x.x:port or [::1]:port)");
  }
}

void ReadRescue(TomlTable table, Config::Rescue& rescue) {
  table.GetString("image_id", &rescue.image_id);
  if (!rescue.image_id.empty() && !IsId(kImagePrefix, rescue.image_id)) {
    table.AddError("image_id", "must be the id of an image: img- and eight of a-z and 0-9");
  }
  table.GetString("iso", &rescue.iso);
  if (rescue.iso.starts_with('/')) {
    table.AddError("iso", "must be a path beneath import_dir, without a leading '/'");
  }
  if (!rescue.image_id.empty() && !rescue.iso.empty()) {
    table.AddError("iso", "image_id and iso exclude each other");
  }
}

NetworkConfig ReadNetwork(TomlTable table) {
  NetworkConfig network;
  table.GetString("id", &network.id);
  if (network.id.empty() || network.id.size() > 64) {
    table.AddError("id", "required, 1 to 64 characters");
  }
  table.GetString("bridge", &network.bridge);
  if (network.bridge.empty() || network.bridge.size() > 15 ||
      network.bridge.find_first_of("/ \t\n") != std::string::npos) {
    table.AddError("bridge", "required: the name of a bridge of this host, at most 15 characters");
  }
  std::string text;
  table.GetString("subnet", &text);
  if (const auto subnet = Ipv4Subnet::Parse(text)) {
    network.subnet = *subnet;
  } else {
    table.AddError("subnet", "required: an IPv4 subnet such as 192.168.222.0/24");
  }
  text.clear();
  table.GetString("gateway", &text);
  if (!text.empty()) {
    network.gateway = Ipv4Address::Parse(text);
    if (!network.gateway || !network.subnet.IsHost(*network.gateway)) {
      table.AddError("gateway", "must be an address of the subnet");
    }
  }
  table.GetStrings("name_servers", &network.name_servers);
  for (const std::string& server : network.name_servers) {
    if (!cloudinit::ParseIpAddress(server)) {
      table.AddError("name_servers", fmt::format("'{}' is not an IP address", server));
    }
  }
  table.GetStrings("search_domains", &network.search_domains);
  int64_t mtu = 0;
  table.GetInt("mtu", 0, 65535, &mtu);
  if (mtu != 0 && mtu < 576) table.AddError("mtu", "must be at least 576");
  network.mtu = static_cast<uint32_t>(mtu);
  return network;
}

absl::StatusOr<Config> Read(TomlFile file) {
  Config config;
  TomlTable root = file.Root();
  GetAbsolutePath(root, "state_dir", &config.state_dir);
  GetAbsolutePath(root, "import_dir", &config.import_dir);
  GetAbsolutePath(root, "run_dir", &config.run_dir);
  GetOneOf(root, "log_level", kLogLevels, &config.log_level);
  GetOneOf(root, "disk_cache", kCacheModes, &config.disk_cache);
  ReadListen(root.Table("listen"), config.run_dir, config.listen);

  TomlTable libvirt = root.Table("libvirt");
  libvirt.GetString("uri", &config.libvirt.uri);
  libvirt.GetDuration("call_timeout", absl::Seconds(1), absl::Hours(1),
                      &config.libvirt.call_timeout);
  libvirt.GetDuration("start_timeout", absl::Seconds(1), absl::Hours(1),
                      &config.libvirt.start_timeout);

  Config::Limits& limits = config.limits;
  TomlTable table = root.Table("limits");
  table.GetDouble("cpu_overcommit", 0.1, 100, &limits.cpu_overcommit);
  table.GetInt("memory_reserve_mib", 0, int64_t{1} << 30, &limits.memory_reserve_mib);
  table.GetInt("disk_reserve_mib", 0, int64_t{1} << 40, &limits.disk_reserve_mib);
  table.GetDouble("disk_overcommit", 0.1, 1000, &limits.disk_overcommit);
  table.GetInt("default_system_disk_gib", 1, 1 << 20, &limits.default_system_disk_gib);
  table.GetInt("reinstall_min_disk_gib", 0, 1 << 20, &limits.reinstall_min_disk_gib);
  table.GetInt("max_image_gib", 1, 1 << 20, &limits.max_image_gib);
  table.GetInt("max_instances", 1, 100000, &limits.max_instances);
  table.GetDouble("max_vcpus_ratio", 1, 255, &limits.max_vcpus_ratio);
  table.GetDouble("max_memory_ratio", 1, 1024, &limits.max_memory_ratio);

  Config::Operations& operations = config.operations;
  table = root.Table("operations");
  table.GetDuration("soft_stop_timeout", absl::Seconds(1), absl::Hours(1),
                    &operations.soft_stop_timeout);
  table.GetDuration("hypervisor_grace", absl::ZeroDuration(), absl::Hours(24),
                    &operations.hypervisor_grace);
  table.GetDuration("recycle_period", absl::ZeroDuration(), absl::Hours(24 * 365),
                    &operations.recycle_period);
  table.GetDuration("retention", absl::Hours(1), absl::Hours(24 * 3650), &operations.retention);
  table.GetInt("workers", 1, 256, &operations.workers);
  table.GetDuration("stop_guests_budget", absl::Seconds(1), absl::Hours(1),
                    &operations.stop_guests_budget);
  table.GetInt("stop_parallel", 1, 1000, &operations.stop_parallel);
  GetOneOf(table, "boot_start", kBootStarts, &operations.boot_start);
  table.GetInt("boot_start_parallel", 1, 256, &operations.boot_start_parallel);
  table.GetDuration("boot_start_delay", absl::ZeroDuration(), absl::Hours(1),
                    &operations.boot_start_delay);

  table.GetDuration("reconcile_interval", absl::ZeroDuration(), absl::Hours(24),
                    &operations.reconcile_interval);
  table.GetBool("emulated_vcpu_growth", &operations.emulated_vcpu_growth);

  ReadRescue(root.Table("rescue"), config.rescue);

  for (TomlTable& network : root.Tables("network")) {
    config.networks.push_back(ReadNetwork(network));
    const auto same_id = [&](const NetworkConfig& other) {
      return other.id == config.networks.back().id;
    };
    if (std::count_if(config.networks.begin(), config.networks.end(), same_id) > 1) {
      network.AddError("id", "is used by an earlier network");
    }
  }
  CVM_RETURN_IF_ERROR(file.Finish());
  return config;
}

}  // namespace

const NetworkConfig* Config::FindNetwork(const std::string& id) const {
  for (const NetworkConfig& network : networks) {
    if (network.id == id) return &network;
  }
  return nullptr;
}

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  CVM_ASSIGN_OR_RETURN(TomlFile file, TomlFile::Load(path));
  return Read(std::move(file));
}

absl::StatusOr<Config> ParseConfig(std::string_view text, std::string_view name) {
  CVM_ASSIGN_OR_RETURN(TomlFile file, TomlFile::Parse(text, name));
  return Read(std::move(file));
}

}  // namespace cvm::agent
