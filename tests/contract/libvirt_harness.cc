// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/libvirt_harness.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "common/subprocess.h"
#include "drivers/hypervisor/libvirt/libvirt_hypervisor.h"
#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

constexpr char kPidFile[] = "/run/libvirt/libvirtd.pid";

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string Output(const std::vector<std::string>& command) {
  const auto result = RunCommand(command);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return "";
  EXPECT_EQ(result->exit_code, 0) << command[0] << ": " << result->err;
  return result->out;
}

std::string Virsh(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"virsh", "-q", "-c", Environment("CVM_TEST_LIBVIRT_URI")});
  return Output(arguments);
}

pid_t ReadPid(const std::string& path) {
  pid_t pid = 0;
  std::ifstream(path) >> pid;
  return pid;
}

template <class Condition>
bool WaitUntil(Condition condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace

LibvirtHarness::LibvirtHarness() {
  folder_ = testing::TempDir() + "/contract-XXXXXX";
  EXPECT_NE(mkdtemp(folder_.data()), nullptr) << folder_;
}

LibvirtHarness::~LibvirtHarness() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

LibvirtOptions LibvirtHarness::Options() {
  LibvirtOptions options;
  options.uri = Environment("CVM_TEST_LIBVIRT_URI");
  return options;
}

void LibvirtHarness::SignalDaemon(int number) {
  const pid_t pid = ReadPid(kPidFile);
  ASSERT_GT(pid, 1);
  ASSERT_EQ(kill(pid, number), 0);
}

void LibvirtHarness::SignalGuest(const DomainSpec& spec, int number) {
  const pid_t pid = ReadPid("/run/libvirt/qemu/" + spec.name + ".pid");
  ASSERT_GT(pid, 1);
  ASSERT_EQ(kill(pid, number), 0);
}

std::string LibvirtHarness::MakeDisk(const std::string& name) {
  const std::string path = folder_ + "/" + name + ".qcow2";
  Output({"qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b",
          Environment("CVM_TEST_TINY_IMAGE"), path});
  return path;
}

std::unique_ptr<Hypervisor> LibvirtHarness::MakeHypervisor() {
  return MakeLibvirtHypervisor(Options());
}

DomainSpec LibvirtHarness::MakeSpec(const std::string& name) {
  DomainSpec spec;
  const int number = count_++;
  spec.name = name;
  spec.uuid = fmt::format("11111111-2222-4333-8444-{:012}", number);
  spec.title = "contract";
  spec.memory_mib = 128;
  spec.disks.resize(1);
  spec.disks[0].id = "disk-0";
  spec.disks[0].path = MakeDisk(name);
  spec.nics.resize(1);
  spec.nics[0].mac = fmt::format("52:54:00:00:01:{:02x}", number);
  spec.nics[0].bridge = Environment("CVM_TEST_BRIDGE");
  spec.nics[0].tap_name = fmt::format("cvmct-{}", number);
  spec.console_log_path = folder_ + "/" + name + ".log";
  spec.metadata = "{}";
  return spec;
}

void LibvirtHarness::KillDaemon() {
  const pid_t pid = ReadPid(kPidFile);
  SignalDaemon(SIGKILL);
  EXPECT_TRUE(WaitUntil([pid] {
    // A zombie has ended, though nobody may have waited for it yet.
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string line;
    return !std::getline(file, line) || line.find(") Z ") != std::string::npos;
  }));
}

void LibvirtHarness::StartDaemon() { Output({"/usr/sbin/libvirtd", "-d", "-p", kPidFile}); }

void LibvirtHarness::SaveDomain(Hypervisor&, const std::string& uuid) {
  Virsh({"managedsave", uuid});
}

void LibvirtHarness::KillGuest(const DomainSpec& spec) { SignalGuest(spec, SIGKILL); }

void LibvirtHarness::MakeGuestDeaf(Hypervisor& hypervisor, const std::string& uuid) {
  ConsoleLog log;
  const auto session = hypervisor.OpenConsole(uuid, true, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  // The guest's dd reads the button's events.
  WriteAll(**session, "killall -STOP dd && echo now-$((40+2))\n");
  ASSERT_TRUE(log.WaitForText("now-42")) << log.text();
}

void LibvirtHarness::InGuest(Hypervisor& hypervisor, const std::string& uuid,
                             const std::string& command) {
  ConsoleLog log;
  const auto session = hypervisor.OpenConsole(uuid, true, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  // The echo of the line does not hold the result.
  WriteAll(**session, command + " && echo did-$((40+2))\n");
  ASSERT_TRUE(log.WaitForText("did-42")) << log.text();
}

void LibvirtHarness::LetGuestRun(Hypervisor& hypervisor, const std::string& uuid) {
  // By the guest's own clock.
  InGuest(hypervisor, uuid, "sleep 6");
}

void LibvirtHarness::Clean() {
  std::istringstream names(Virsh({"list", "--all", "--name"}));
  std::string name;
  while (std::getline(names, name)) {
    if (!name.starts_with("contract-")) continue;
    if (Virsh({"domstate", name}).find("shut off") == std::string::npos) Virsh({"destroy", name});
    Virsh({"undefine", name, "--nvram", "--managed-save"});
  }
}

std::unique_ptr<ContractHarness> MakeHarness() {
  for (const char* name : {"CVM_TEST_LIBVIRT_URI", "CVM_TEST_BRIDGE", "CVM_TEST_TINY_IMAGE"}) {
    if (Environment(name).empty()) {
      ADD_FAILURE() << name << " is not set: run this test by tests/harness/in_node, or say "
                    << "CVM_TEST_NO_LIBVIRT=1 to leave it out";
      return nullptr;
    }
  }
  // These tests kill the daemon.
  if (ReadPid(kPidFile) <= 1) {
    ADD_FAILURE() << "there is no libvirtd of a test node: " << kPidFile << " holds no pid";
    return nullptr;
  }
  return std::make_unique<LibvirtHarness>();
}

}  // namespace cvm::hypervisor

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const char* without = std::getenv("CVM_TEST_NO_LIBVIRT");
  if (without != nullptr && std::string(without) == "1") {
    fmt::print("left out: CVM_TEST_NO_LIBVIRT=1\n");
    return 0;
  }
  return RUN_ALL_TESTS();
}
