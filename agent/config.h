// SPDX-License-Identifier: Apache-2.0
//
// The daemon's configuration, read from agent.toml. systemd/agent.toml, the shipped default file,
// documents every key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/core/ip_address.h"

namespace cvm::agent {

struct NetworkConfig {
  std::string id;
  std::string bridge;
  // IPv4, with the prefix length of the subnet.
  core::Ipv4Subnet subnet;
  // Within the subnet; absent when guests get no default route.
  std::optional<core::Ipv4Address> gateway;
  std::vector<std::string> name_servers;
  std::vector<std::string> search_domains;
  // 0: what the bridge has.
  uint32_t mtu = 0;
};

struct Config {
  std::string state_dir = "/var/lib/cvm/agent";
  std::string import_dir = "/var/lib/cvm/import";
  std::string run_dir = "/run/cvm";
  std::string log_level = "info";

  struct Listen {
    // Empty in the file: <run_dir>/agent.sock.
    std::string socket;
    // The group that may open the socket; the process's own when it does not exist.
    std::string group = "cvm";
    // "127.0.0.1:7400" or "[::1]:7400"; only with insecure = true. Empty: no TCP.
    std::string tcp;
    bool insecure = false;
    int64_t max_threads = 32;
  } listen;

  struct Libvirt {
    std::string uri = "qemu:///system";
    absl::Duration call_timeout = absl::Seconds(30);
    absl::Duration start_timeout = absl::Seconds(120);
  } libvirt;

  struct Limits {
    double cpu_overcommit = 16.0;
    int64_t memory_reserve_mib = 1024;
    int64_t disk_reserve_mib = 2048;
    double disk_overcommit = 1.0;
    int64_t default_system_disk_gib = 50;
    // 0: none.
    int64_t reinstall_min_disk_gib = 50;
    int64_t max_image_gib = 500;
    int64_t max_instances = 1000;
    // What a running guest can be grown to when its spec does not say, for each vCPU and each MiB
    // that it is made with. 1: it cannot be grown.
    double max_vcpus_ratio = 1.0;
    double max_memory_ratio = 1.0;
  } limits;

  struct Operations {
    absl::Duration soft_stop_timeout = absl::Minutes(2);
    // How long an operation waits for libvirt to come back before it is undone.
    absl::Duration hypervisor_grace = absl::Minutes(2);
    // How long ended operations, and with them request ids, are kept at least.
    absl::Duration retention = absl::Hours(7 * 24);
    // Of a DeleteInstance that names none. Zero: deleted at once.
    absl::Duration recycle_period = absl::ZeroDuration();
    int64_t workers = 8;
    // Of a StopGuests that names none.
    absl::Duration stop_guests_budget = absl::Minutes(4);
    // Guests that StopGuests asks at the same time.
    int64_t stop_parallel = 10;
    // "always" or "never": whether guests that were meant to be on are started after the host's
    // boot; at most `boot_start_parallel` at a time, and not one sooner than `boot_start_delay`
    // after the other.
    std::string boot_start = "always";
    int64_t boot_start_parallel = 4;
    absl::Duration boot_start_delay = absl::Seconds(2);
    // Between two comparisons of libvirt's truth with the records. Zero: only at each connection.
    absl::Duration reconcile_interval = absl::Minutes(1);
    // Whether a running guest can get vCPUs on a host without KVM, where QEMU 7.2 may crash of it.
    bool emulated_vcpu_growth = false;
  } operations;

  // What EnterRescue boots: at most one of the two. Neither: there is no rescue.
  struct Rescue {
    std::string image_id;
    // Beneath import_dir.
    std::string iso;
  } rescue;

  // "none", "writeback", ...: the cache mode of guests' disks.
  std::string disk_cache = "none";

  std::vector<NetworkConfig> networks;

  const NetworkConfig* FindNetwork(const std::string& id) const;
};

// InvalidArgument with one line a problem, each with the file's line.
absl::StatusOr<Config> LoadConfig(const std::string& path);
absl::StatusOr<Config> ParseConfig(std::string_view text, std::string_view name);

}  // namespace cvm::agent
