// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm::agent {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Problem(const std::string& text) {
  const auto config = ParseConfig(text, "agent.toml");
  if (config.ok()) return "(accepted)";
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(Config, HasDefaultsForAnEmptyFile) {
  const auto config = ParseConfig("", "agent.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->state_dir, "/var/lib/cvm/agent");
  EXPECT_EQ(config->listen.socket, "/run/cvm/agent.sock");
  EXPECT_EQ(config->listen.tcp, "");
  EXPECT_EQ(config->disk_cache, "none");
  EXPECT_TRUE(config->networks.empty());
}

TEST(Config, ReadsEveryKey) {
  const auto config = ParseConfig(R"toml(
    state_dir = "/a/state"
    import_dir = "/a/import"
    run_dir = "/a/run"
    log_level = "debug"
    disk_cache = "writeback"
    [listen]
    socket = "/a/socket"
    group = "people"
    tcp = "127.0.0.1:7400"
    insecure = true
    max_threads = 5
    [libvirt]
    uri = "qemu:///session"
    call_timeout = "7s"
    start_timeout = "8s"
    [limits]
    cpu_overcommit = 2.5
    memory_reserve_mib = 11
    disk_reserve_mib = 12
    disk_overcommit = 1.5
    default_system_disk_gib = 13
    reinstall_min_disk_gib = 0
    max_image_gib = 14
    max_instances = 15
    max_vcpus_ratio = 4
    max_memory_ratio = 2.5
    [operations]
    soft_stop_timeout = "16s"
    hypervisor_grace = "17s"
    retention = "18h"
    recycle_period = "20h"
    workers = 19
    stop_guests_budget = "21s"
    stop_parallel = 22
    boot_start = "never"
    boot_start_parallel = 23
    boot_start_delay = "24s"
    emulated_vcpu_growth = true
    [rescue]
    image_id = "img-rescue00"
    [[network]]
    id = "lan"
    bridge = "br0"
    subnet = "192.168.222.0/24"
    gateway = "192.168.222.1"
    name_servers = ["192.168.222.2", "2001:db8::53"]
    search_domains = ["example.org"]
    mtu = 1450
    [[network]]
    id = "other"
    bridge = "br1"
    subnet = "10.0.0.0/8"
  )toml",
                                  "agent.toml");
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->state_dir, "/a/state");
  EXPECT_EQ(config->import_dir, "/a/import");
  EXPECT_EQ(config->run_dir, "/a/run");
  EXPECT_EQ(config->log_level, "debug");
  EXPECT_EQ(config->disk_cache, "writeback");
  EXPECT_EQ(config->listen.socket, "/a/socket");
  EXPECT_EQ(config->listen.group, "people");
  EXPECT_EQ(config->listen.tcp, "127.0.0.1:7400");
  EXPECT_TRUE(config->listen.insecure);
  EXPECT_EQ(config->listen.max_threads, 5);
  EXPECT_EQ(config->libvirt.uri, "qemu:///session");
  EXPECT_EQ(config->libvirt.call_timeout, absl::Seconds(7));
  EXPECT_EQ(config->libvirt.start_timeout, absl::Seconds(8));
  EXPECT_EQ(config->limits.cpu_overcommit, 2.5);
  EXPECT_EQ(config->limits.memory_reserve_mib, 11);
  EXPECT_EQ(config->limits.disk_reserve_mib, 12);
  EXPECT_EQ(config->limits.disk_overcommit, 1.5);
  EXPECT_EQ(config->limits.default_system_disk_gib, 13);
  EXPECT_EQ(config->limits.reinstall_min_disk_gib, 0);
  EXPECT_EQ(config->limits.max_image_gib, 14);
  EXPECT_EQ(config->limits.max_instances, 15);
  EXPECT_EQ(config->limits.max_vcpus_ratio, 4);
  EXPECT_EQ(config->limits.max_memory_ratio, 2.5);
  EXPECT_EQ(config->operations.soft_stop_timeout, absl::Seconds(16));
  EXPECT_EQ(config->operations.hypervisor_grace, absl::Seconds(17));
  EXPECT_EQ(config->operations.retention, absl::Hours(18));
  EXPECT_EQ(config->operations.recycle_period, absl::Hours(20));
  EXPECT_EQ(config->operations.workers, 19);
  EXPECT_EQ(config->operations.stop_guests_budget, absl::Seconds(21));
  EXPECT_EQ(config->operations.stop_parallel, 22);
  EXPECT_EQ(config->operations.boot_start, "never");
  EXPECT_EQ(config->operations.boot_start_parallel, 23);
  EXPECT_EQ(config->operations.boot_start_delay, absl::Seconds(24));
  EXPECT_TRUE(config->operations.emulated_vcpu_growth);
  EXPECT_EQ(config->rescue.image_id, "img-rescue00");
  EXPECT_EQ(config->rescue.iso, "");
  ASSERT_EQ(config->networks.size(), 2u);
  const NetworkConfig& lan = config->networks[0];
  EXPECT_EQ(lan.bridge, "br0");
  EXPECT_EQ(lan.subnet.ToString(), "192.168.222.0/24");
  EXPECT_EQ(lan.gateway->ToString(), "192.168.222.1");
  EXPECT_THAT(lan.name_servers, ElementsAre("192.168.222.2", "2001:db8::53"));
  EXPECT_THAT(lan.search_domains, ElementsAre("example.org"));
  EXPECT_EQ(lan.mtu, 1450u);
  EXPECT_FALSE(config->networks[1].gateway.has_value());
  EXPECT_EQ(config->FindNetwork("other"), &config->networks[1]);
  EXPECT_EQ(config->FindNetwork("none"), nullptr);
}

TEST(Config, HasOneRescueSystemAtMost) {
  EXPECT_EQ(ParseConfig("rescue.iso = 'isos/r.iso'", "f")->rescue.iso, "isos/r.iso");
  EXPECT_EQ(ParseConfig("", "f")->rescue.image_id, "");
  EXPECT_EQ(ParseConfig("", "f")->limits.reinstall_min_disk_gib, 50);
  EXPECT_THAT(Problem("[rescue]\nimage_id = 'img-rescue00'\niso = 'r.iso'\n"),
              HasSubstr("agent.toml:3: "));
  EXPECT_THAT(Problem("[rescue]\nimage_id = 'debian'\n"), HasSubstr("agent.toml:2: "));
  EXPECT_THAT(Problem("[rescue]\niso = '/abs.iso'\n"), HasSubstr("agent.toml:2: "));
}

TEST(Config, FollowsTheRunDirWithTheSocket) {
  EXPECT_EQ(ParseConfig("run_dir = '/x'", "f")->listen.socket, "/x/agent.sock");
}

TEST(Config, ReportsEveryProblemWithItsLine) {
  const std::string problem = Problem("state_dir = '/a'\nstate_dri = '/b'\n[limits]\ncpus = 3\n");
  EXPECT_THAT(problem, HasSubstr("agent.toml:2"));
  EXPECT_THAT(problem, HasSubstr("state_dri"));
  EXPECT_THAT(problem, HasSubstr("agent.toml:4"));
}

TEST(Config, RefusesBadValues) {
  const std::string network = "[[network]]\nid='a'\nbridge='b'\nsubnet='10.0.0.0/24'\n";
  const std::pair<std::string, std::string> kCases[] = {
      {"state_dir = 'relative'", "agent.toml:1"},
      {"run_dir = ''", "absolute"},
      {"log_level = 'loud'", "debug"},
      {"disk_cache = 'magic'", "writeback"},
      {"state_dir = 5", "agent.toml:1"},
      {"[listen]\nmax_threads = 1", "agent.toml:2"},
      {"[limits]\nmax_instances = 0", "agent.toml:2"},
      {"[operations]\nboot_start = 'sometimes'", "agent.toml:2"},
      {"[operations]\nstop_parallel = 0", "agent.toml:2"},
      {"[limits]\ncpu_overcommit = 0.01", "agent.toml:2"},
      {"[limits]\nmax_vcpus_ratio = 0.9", "agent.toml:2"},
      {"[limits]\nmax_memory_ratio = 0", "agent.toml:2"},
      {"[operations]\nretention = '1s'", "agent.toml:2"},
      {"[operations]\nsoft_stop_timeout = 'soon'", "agent.toml:2"},
      {"[[network]]\nid='a'\nbridge='b'", "subnet"},
      {"[[network]]\nid='a'\nsubnet='10.0.0.0/24'", "bridge"},
      {"[[network]]\nbridge='b'\nsubnet='10.0.0.0/24'", "id"},
      {"[[network]]\nid='a'\nbridge='b'\nsubnet='10.0.0.1/24'", "agent.toml:4"},
      {"[[network]]\nid='a'\nbridge='b'\nsubnet='10.0.0.0/33'", "agent.toml:4"},
      {"[[network]]\nid='a'\nbridge='a-name-too-long-'\nsubnet='10.0.0.0/24'", "agent.toml:3"},
      {network + "gateway='10.0.1.1'", "agent.toml:5"},
      {network + "gateway='10.0.0.255'", "agent.toml:5"},
      {network + "gateway='x'", "agent.toml:5"},
      {network + "name_servers=['10.0.0.300']", "agent.toml:5"},
      {network + "mtu=500", "agent.toml:5"},
      {network + network, "earlier"},
  };
  for (const auto& [text, expected] : kCases) {
    EXPECT_THAT(Problem(text), HasSubstr(expected)) << text;
  }
}

TEST(Config, TakesCleartextTcpOnLoopbackOnlyAndOnlyWhenAskedFor) {
  const auto tcp = [](const std::string& address, bool insecure) {
    return Problem("[listen]\ntcp = '" + address +
                   "'\ninsecure = " + (insecure ? "true" : "false"));
  };
  EXPECT_THAT(tcp("127.0.0.1:7400", false), HasSubstr("insecure"));
  for (const char* good : {"127.0.0.1:7400", "127.9.9.9:0", "[::1]:7400"}) {
    EXPECT_EQ(tcp(good, true), "(accepted)") << good;
  }
  for (const char* bad :
       {"0.0.0.0:7400", "10.0.0.1:7400", "[::]:7400", ":7400", "*:7400", "127.0.0.1",
        "127.0.0.1:", "127.0.0.1:70000", "127.0.0.1:x", "127.example.org:7400",
        "127.0.0.1.example.org:7400", "localhost:7400", "[::1]", "unix:/tmp/x"}) {
    EXPECT_THAT(tcp(bad, true), HasSubstr("loopback")) << bad;
  }
}

TEST(Config, LoadsAFile) {
  TemporaryFolder folder;
  EXPECT_EQ(LoadConfig(folder.Write("agent.toml", "log_level = 'error'"))->log_level, "error");
  EXPECT_TRUE(absl::IsNotFound(LoadConfig(folder.File("none")).status()));
}

}  // namespace
}  // namespace cvm::agent
