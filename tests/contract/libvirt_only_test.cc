// SPDX-License-Identifier: Apache-2.0
//
// What only the real libvirt can show: that it may hang, and that it takes our hardware.
#include <unistd.h>

#include <thread>

#include "common/errors.h"
#include "drivers/hypervisor/libvirt/libvirt_hypervisor.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "tests/contract/libvirt_harness.h"

namespace cvm::hypervisor {
namespace {

using std::chrono::steady_clock;

class LibvirtOnly : public HypervisorContract {
 protected:
  LibvirtHarness& harness() { return static_cast<LibvirtHarness&>(*harness_); }

  // Replaces the hypervisor by one with these options.
  void Reconnect(const LibvirtOptions& options) {
    hypervisor_->Stop();
    const size_t before = events_.size();
    hypervisor_ = MakeLibvirtHypervisor(options);
    hypervisor_->Start(events_.Handler());
    ASSERT_TRUE(events_.WaitForKind(HypervisorEvent::Kind::kConnected, before));
  }
};

TEST_F(LibvirtOnly, ReturnsByTheDeadlineWhenTheDaemonHangs) {
  LibvirtOptions options = LibvirtHarness::Options();
  options.call_deadline = absl::Milliseconds(500);
  options.destroy_deadline = absl::Milliseconds(500);
  options.keepalive_interval_seconds = 60;
  Reconnect(options);
  const DomainSpec spec = harness().MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  LibvirtHarness::SignalDaemon(SIGSTOP);
  const auto begin = steady_clock::now();
  const absl::Status list = hypervisor_->ListDomains().status();
  const absl::Status destroy = hypervisor_->DestroyDomain(spec.uuid);
  const auto took = steady_clock::now() - begin;
  LibvirtHarness::SignalDaemon(SIGCONT);
  EXPECT_EQ(ReasonOf(list), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE) << list;
  EXPECT_EQ(ReasonOf(destroy), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE) << destroy;
  EXPECT_GE(took, std::chrono::milliseconds(1000));
  EXPECT_LT(took, std::chrono::seconds(20));
  const auto until = steady_clock::now() + kPatience;
  while (!hypervisor_->ListDomains().ok() && steady_clock::now() < until) {
  }
  EXPECT_TRUE(hypervisor_->GetDomain(spec.uuid).ok());
}

TEST_F(LibvirtOnly, TellsThatADaemonThatHangsIsLost) {
  LibvirtOptions options = LibvirtHarness::Options();
  options.keepalive_interval_seconds = 1;
  options.keepalive_count = 2;
  Reconnect(options);
  EXPECT_LT(hypervisor_->SinceLastAnswer(), absl::Seconds(10));
  size_t before = events_.size();
  LibvirtHarness::SignalDaemon(SIGSTOP);
  const absl::Time stopped = absl::Now();
  const bool told = events_.WaitForKind(HypervisorEvent::Kind::kDisconnected, before);
  const absl::Time answered = absl::Now() - hypervisor_->SinceLastAnswer();
  const absl::Duration unanswered = events_.All()[before].unanswered;
  before = events_.size();
  LibvirtHarness::SignalDaemon(SIGCONT);
  ASSERT_TRUE(told);
  EXPECT_LE(answered, stopped + absl::Milliseconds(100)) << "nothing is known since";
  EXPECT_GE(unanswered, absl::Seconds(1)) << "two signs of life did not come";
  EXPECT_TRUE(events_.WaitForKind(HypervisorEvent::Kind::kConnected, before));
  EXPECT_TRUE(hypervisor_->ListDomains().ok());
}

TEST_F(LibvirtOnly, StopsInTimeWhileTheDaemonHangs) {
  LibvirtOptions options = LibvirtHarness::Options();
  options.keepalive_interval_seconds = 60;
  options.call_deadline = absl::Milliseconds(200);
  options.stop_grace = absl::Milliseconds(300);
  Reconnect(options);
  const DomainSpec spec = Run("contract-a");
  ConsoleLog log;
  auto session = hypervisor_->OpenConsole(spec.uuid, true, log.Handler());
  LibvirtHarness::SignalDaemon(SIGSTOP);
  EXPECT_FALSE(hypervisor_->ListDomains().ok());
  const auto begin = steady_clock::now();
  hypervisor_->Stop();
  hypervisor_.reset();
  if (session.ok()) session->reset();
  const auto took = steady_clock::now() - begin;
  LibvirtHarness::SignalDaemon(SIGCONT);
  EXPECT_LT(took, std::chrono::seconds(20));
}

TEST_F(LibvirtOnly, TurnsAGuestOffWhileCallsHang) {
  LibvirtOptions options = LibvirtHarness::Options();
  options.general_workers = 2;
  options.call_deadline = absl::Milliseconds(500);
  Reconnect(options);
  const DomainSpec hanging = Run("contract-a");
  const DomainSpec other = Run("contract-b");
  LibvirtHarness::SignalGuest(hanging, SIGSTOP);
  // Each asks QEMU, which does not answer, and keeps its worker.
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ReasonOf(hypervisor_->TakeScreenshot(hanging.uuid).status()),
              ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  }
  EXPECT_EQ(hypervisor_->DestroyDomain(other.uuid), absl::OkStatus());
  EXPECT_EQ(hypervisor_->DestroyDomain(hanging.uuid), absl::OkStatus()) << "by force";
}

TEST_F(LibvirtOnly, CallsSurviveAKilledDaemonInTheirMiddle) {
  const DomainSpec spec = harness().MakeSpec("contract-a");
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  const size_t before = events_.size();
  LibvirtHarness::SignalDaemon(SIGSTOP);
  absl::Status status;
  std::thread caller([&] { status = hypervisor_->StartDomain(spec.uuid); });
  harness().KillDaemon();
  caller.join();
  EXPECT_EQ(ReasonOf(status), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE) << status;
  harness().StartDaemon();
  ASSERT_TRUE(events_.WaitForKind(HypervisorEvent::Kind::kConnected, before));
  EXPECT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
}

// Every kind of hardware that the XML can describe is accepted by this host's QEMU.

struct Hardware {
  std::string name;
  std::function<void(LibvirtHarness&, DomainSpec&)> change;
};

class LibvirtHardware : public LibvirtOnly, public testing::WithParamInterface<Hardware> {};

TEST_P(LibvirtHardware, Starts) {
  DomainSpec spec = harness().MakeSpec("contract-a");
  GetParam().change(harness(), spec);
  ASSERT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  ASSERT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(Get(spec).state, PowerState::kRunning);
  EXPECT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus());
  EXPECT_EQ(hypervisor_->UndefineDomain(spec.uuid), absl::OkStatus());
  EXPECT_NE(access(spec.nvram_path.c_str(), F_OK), 0) << "removed with the domain";
}

void Fill(LibvirtHarness& harness, DomainSpec& spec) {
  for (size_t i = 1; i < 21; ++i) {
    DiskDevice disk;
    disk.id = fmt::format("disk-{}", i);
    disk.path = harness.MakeDisk(disk.id);
    spec.disks.push_back(disk);
  }
  for (size_t i = 1; i < 8; ++i) {
    NicDevice nic = spec.nics[0];
    nic.mac = fmt::format("52:54:00:00:02:{:02x}", i);
    nic.tap_name = fmt::format("cvmct-x{}", i);
    spec.nics.push_back(nic);
  }
}

void Windows(LibvirtHarness&, DomainSpec& spec) {
  spec.os_family = OsFamily::kWindows;
  spec.cdrom_bus = CdromBus::kSata;
}

void Uefi(LibvirtHarness& harness, DomainSpec& spec) {
  spec.firmware = Firmware::kUefi;
  spec.nvram_path = harness.MakeDisk("nvram") + ".fd";
  spec.memory_mib = 256;
}

void Growable(LibvirtHarness&, DomainSpec& spec) {
  spec.max_vcpus = 4;
  spec.hotplug_memory_mib = 1024;
  spec.hotplug_requested_mib = 132;
}

INSTANTIATE_TEST_SUITE_P(
    Variants, LibvirtHardware,
    testing::Values(
        Hardware{"PcIde",
                 [](LibvirtHarness&, DomainSpec& s) {
                   s.machine_family = MachineFamily::kPc;
                   s.cdrom_bus = CdromBus::kIde;
                 }},
        Hardware{"PcScsi",
                 [](LibvirtHarness&, DomainSpec& s) { s.machine_family = MachineFamily::kPc; }},
        Hardware{"PcSata",
                 [](LibvirtHarness&, DomainSpec& s) {
                   s.machine_family = MachineFamily::kPc;
                   s.cdrom_bus = CdromBus::kSata;
                 }},
        Hardware{"Q35Sata", [](LibvirtHarness&, DomainSpec& s) { s.cdrom_bus = CdromBus::kSata; }},
        Hardware{"Uefi", Uefi}, Hardware{"Windows", Windows},
        Hardware{"HostModel",
                 [](LibvirtHarness&, DomainSpec& s) { s.cpu_policy = CpuPolicy::kHostModel; }},
        Hardware{"FourCpusMtu",
                 [](LibvirtHarness&, DomainSpec& s) {
                   s.vcpus = 4;
                   s.nics[0].mtu = 1400;
                 }},
        Hardware{"FullQ35", Fill}, Hardware{"GrowableQ35", Growable},
        Hardware{"GrowablePc",
                 [](LibvirtHarness& h, DomainSpec& s) {
                   s.machine_family = MachineFamily::kPc;
                   Fill(h, s);
                   Growable(h, s);
                 }},
        Hardware{"FullPc",
                 [](LibvirtHarness& h, DomainSpec& s) {
                   s.machine_family = MachineFamily::kPc;
                   Fill(h, s);
                 }}),
    [](const testing::TestParamInfo<Hardware>& info) { return info.param.name; });

}  // namespace
}  // namespace cvm::hypervisor
