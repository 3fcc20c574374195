// SPDX-License-Identifier: Apache-2.0
//
// The parts of the libvirt driver that need no libvirtd.
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "common/errors.h"
#include "drivers/hypervisor/libvirt/domain_state.h"
#include "drivers/hypervisor/libvirt/event_hub.h"
#include "drivers/hypervisor/libvirt/host_facts.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"
#include "drivers/hypervisor/libvirt/memory_device_xml.h"
#include "gtest/gtest.h"

namespace cvm::hypervisor {
namespace {

using Kind = HypervisorEvent::Kind;
constexpr char kUuid[] = "6f3f3c8e-6c5a-4d0e-9a43-0f6a1d2b3c4d";

TEST(LibvirtErrors, HasAReasonForEachNumber) {
  EXPECT_EQ(ReasonOfLibvirtError(VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU),
            ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND);
  EXPECT_EQ(ReasonOfLibvirtError(VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU),
            ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE);
  EXPECT_EQ(ReasonOfLibvirtError(VIR_ERR_NO_CONNECT, VIR_FROM_REMOTE),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOfLibvirtError(VIR_ERR_SYSTEM_ERROR, VIR_FROM_RPC),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOfLibvirtError(VIR_ERR_INTERNAL_ERROR, VIR_FROM_RPC),
            ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE);
  EXPECT_EQ(ReasonOfLibvirtError(VIR_ERR_SYSTEM_ERROR, VIR_FROM_QEMU),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_EQ(ReasonOfLibvirtError(VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
}

TEST(LibvirtErrors, RemovesHostPaths) {
  EXPECT_EQ(WithoutPaths("Cannot access storage file '/var/lib/my vm/a.qcow2' (as uid:0): no"),
            "Cannot access storage file '(path)' (as uid:0): no");
  EXPECT_EQ(WithoutPaths("/usr/bin/qemu: -drive file=/a/b,format=raw: \"/x y\" failed"),
            "(path): -drive file=(path),format=raw: \"(path)\" failed");
  EXPECT_EQ(WithoutPaths("read/write failed, 1 / 2, a/b"), "read/write failed, 1 / 2, a/b");
  EXPECT_EQ(WithoutPaths("open '/var/unclosed and more"), "open '(path)");
  EXPECT_EQ(WithoutPaths(""), "");
}

DomainStatus StateOf(int state, int reason) {
  DomainStatus status;
  SetState(state, reason, &status);
  return status;
}

TEST(DomainState, NamesStatesAndReasons) {
  EXPECT_EQ(StateOf(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED).reason, "booted");
  EXPECT_EQ(StateOf(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY_FAILED).reason,
            "postcopy-failed");
  EXPECT_EQ(StateOf(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR).state, PowerState::kPaused);
  EXPECT_EQ(StateOf(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR).reason, "io-error");
  EXPECT_EQ(StateOf(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_POSTCOPY_FAILED).reason,
            "postcopy-failed");
  EXPECT_EQ(StateOf(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_DAEMON).reason, "daemon");
  EXPECT_EQ(StateOf(VIR_DOMAIN_SHUTOFF, VIR_DOMAIN_SHUTOFF_CRASHED).state, PowerState::kStopped);
  EXPECT_EQ(StateOf(VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED).state, PowerState::kCrashed);
  EXPECT_EQ(StateOf(VIR_DOMAIN_CRASHED, VIR_DOMAIN_CRASHED_PANICKED).reason, "panicked");
  EXPECT_EQ(StateOf(VIR_DOMAIN_PMSUSPENDED, 0).state, PowerState::kSuspended);
  EXPECT_EQ(StateOf(VIR_DOMAIN_SHUTDOWN, 0).reason, "shutting-down");
  EXPECT_EQ(StateOf(VIR_DOMAIN_RUNNING, 1000).reason, "unknown");
  EXPECT_EQ(StateOf(VIR_DOMAIN_RUNNING, -1).reason, "unknown");
}

TEST(EventTranslator, FollowsAPersistentDomain) {
  EventTranslator translator;
  auto events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_DEFINED, 0);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Kind::kDomainState);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kStopped);
  EXPECT_TRUE(events[0].domains[0].persistent);
  events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kRunning);
  EXPECT_EQ(events[0].domains[0].reason, "booted");
  EXPECT_TRUE(events[0].domains[0].persistent);
  events =
      translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_UPDATED);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kRunning) << "a redefinition stops nothing";
  events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_SUSPENDED,
                                VIR_DOMAIN_EVENT_SUSPENDED_IOERROR);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kPaused);
  EXPECT_EQ(events[0].domains[0].reason, "io-error");
  events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_RESUMED, 0);
  EXPECT_EQ(events[0].domains[0].reason, "unpaused");
  EXPECT_TRUE(translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_SHUTDOWN, 0).empty());
  events =
      translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_SAVED);
  EXPECT_EQ(events[0].kind, Kind::kDomainState);
  EXPECT_TRUE(events[0].domains[0].has_managed_save);
  events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_UNDEFINED, 0);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Kind::kDomainGone);
}

TEST(EventTranslator, TellsAQemuThatDiedFromOneThatDidNotStart) {
  EventTranslator translator;
  translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_DEFINED, 0);
  auto events =
      translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
  EXPECT_EQ(events[0].domains[0].reason, "failed");
  translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);
  events =
      translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_FAILED);
  EXPECT_EQ(events[0].domains[0].reason, "crashed");
}

TEST(EventTranslator, KnowsThatADomainNeverDefinedIsTransient) {
  EventTranslator translator;
  auto events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);
  EXPECT_FALSE(events[0].domains[0].persistent);
  events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STOPPED, 0);
  EXPECT_EQ(events[0].kind, Kind::kDomainGone);
}

TEST(EventTranslator, MakesARunningDomainTransientWhenItIsUndefined) {
  EventTranslator translator;
  DomainStatus running;
  running.uuid = kUuid;
  running.name = "a";
  running.state = PowerState::kRunning;
  translator.Reset({running});
  auto events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_UNDEFINED, 0);
  EXPECT_EQ(events[0].kind, Kind::kDomainState);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kRunning);
  EXPECT_FALSE(events[0].domains[0].persistent);
  events =
      translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_CRASHED, VIR_DOMAIN_EVENT_CRASHED_PANICKED);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kCrashed);
  EXPECT_EQ(translator.Rebooted(kUuid, "a").domains[0].uuid, kUuid);
  EXPECT_EQ(translator.Rebooted("other", "b").domains[0].name, "b");
}

TEST(EventTranslator, TellsOfAnObservedStateThatNoEventTold) {
  EventTranslator translator;
  DomainStatus status;
  status.uuid = kUuid;
  status.name = "a";
  status.state = PowerState::kRunning;
  translator.Reset({status});
  const uint64_t before = translator.EventCount(kUuid);
  EXPECT_TRUE(translator.Observed(kUuid, status, before).empty()) << "nothing new";
  status.state = PowerState::kStopped;
  auto events = translator.Observed(kUuid, status, before);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].domains[0].state, PowerState::kStopped);
  EXPECT_TRUE(translator.Observed(kUuid, status, before).empty()) << "told already";
  // An event that came after the look is younger.
  translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);
  EXPECT_TRUE(translator.Observed(kUuid, status, before).empty());
  EXPECT_TRUE(translator.Observed(kUuid, std::nullopt, before).empty());
  events = translator.Observed(kUuid, std::nullopt, translator.EventCount(kUuid));
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, Kind::kDomainGone);
  EXPECT_TRUE(translator.Observed(kUuid, std::nullopt, translator.EventCount(kUuid)).empty());
}

TEST(EventTranslator, StandsNumbersItDoesNotKnow) {
  EventTranslator translator;
  EXPECT_TRUE(translator.Lifecycle(kUuid, "a", 999, 999).empty());
  const auto events = translator.Lifecycle(kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 999);
  EXPECT_EQ(events[0].domains[0].reason, "unknown");
}

TEST(EventHub, DeliversTheListBeforeTheEventsThatCameMeanwhile) {
  EventHub hub;
  std::vector<HypervisorEvent> events;
  Mutex mutex;
  CondVar changed;
  hub.Start([&](const HypervisorEvent& event) {
    MutexLock lock(mutex);
    events.push_back(event);
    changed.NotifyAll();
  });
  const auto wait_for = [&](size_t count) {
    MutexLock lock(mutex);
    while (events.size() < count) {
      if (!changed.WaitFor(mutex, std::chrono::seconds(30))) break;
    }
    ASSERT_EQ(events.size(), count);
  };
  hub.Lifecycle(1, kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);  // of no connection
  hub.Begin(1);
  hub.Lifecycle(1, kUuid, "a", VIR_DOMAIN_EVENT_STOPPED, 0);
  hub.Rebooted(1, kUuid, "a");
  DomainStatus known;
  known.uuid = kUuid;
  known.state = PowerState::kRunning;
  hub.Connected(1, {known});
  wait_for(3);
  EXPECT_EQ(events[0].kind, Kind::kConnected);
  EXPECT_EQ(events[1].domains[0].state, PowerState::kStopped);
  EXPECT_EQ(events[2].kind, Kind::kDomainRebooted);
  hub.MemoryChanged(1, kUuid, "a");
  wait_for(4);
  EXPECT_EQ(events[3].kind, Kind::kDomainMemoryChanged);
  EXPECT_EQ(events[3].domains[0].uuid, kUuid);
  hub.Disconnected("gone", absl::Seconds(3));
  hub.Disconnected("still gone", absl::Seconds(4));
  hub.Lifecycle(1, kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);
  hub.Begin(2);
  hub.Lifecycle(1, kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);
  hub.Connected(1, {});
  hub.Connected(2, {});
  wait_for(6);
  EXPECT_EQ(events[4].kind, Kind::kDisconnected);
  EXPECT_EQ(events[4].message, "gone");
  EXPECT_EQ(events[4].unanswered, absl::Seconds(3));
  EXPECT_EQ(events[5].kind, Kind::kConnected);
  EXPECT_TRUE(events[5].domains.empty());
  hub.Stop();
  hub.Lifecycle(2, kUuid, "a", VIR_DOMAIN_EVENT_STARTED, 0);
  EXPECT_EQ(events.size(), 6u);
}

constexpr char kMemoryXml[] = R"(<domain type='qemu'>
  <memory unit='KiB'>524288</memory>
  <devices>
    <memory model='dimm'><target><size unit='KiB'>1024</size></target></memory>
    <memory model='virtio-mem'>
      <target>
        <size unit='KiB'>262144</size>
        <block unit='KiB'>4096</block>
        <requested unit='KiB'>135168</requested>
        <current unit='KiB'>131072</current>
      </target>
      <alias name='ua-&lt;x&gt;'/>
    </memory>
  </devices>
</domain>)";

TEST(MemoryDeviceXml, ReadsWhatWasAskedForAndWhatIsThere) {
  const auto device = ReadMemoryDevice(kMemoryXml);
  ASSERT_TRUE(device.ok() && device->has_value()) << device.status();
  EXPECT_EQ((*device)->requested_mib, 132u);
  EXPECT_EQ((*device)->current_mib, 128u);
}

TEST(MemoryDeviceXml, AsksForAnotherSizeAndLeavesTheRest) {
  const auto device = ReadMemoryDevice(kMemoryXml, 256);
  ASSERT_TRUE(device.ok() && device->has_value()) << device.status();
  const std::string& xml = (*device)->xml;
  EXPECT_TRUE(xml.starts_with("<memory model=\"virtio-mem\">")) << xml;
  EXPECT_NE(xml.find("<requested unit=\"KiB\">262144</requested>"), std::string::npos) << xml;
  EXPECT_NE(xml.find("<alias name=\"ua-&lt;x"), std::string::npos) << xml;
  EXPECT_EQ(xml.find("dimm"), std::string::npos) << xml;
}

TEST(MemoryDeviceXml, KnowsThatThereIsNone) {
  const auto device = ReadMemoryDevice("<domain><devices/></domain>");
  ASSERT_TRUE(device.ok()) << device.status();
  EXPECT_FALSE(device->has_value());
}

TEST(MemoryDeviceXml, RefusesWhatItDoesNotUnderstand) {
  EXPECT_EQ(ReasonOf(ReadMemoryDevice("<domain>").status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
  EXPECT_EQ(ReasonOf(ReadMemoryDevice("<domain><devices><memory model='virtio-mem'><target>"
                                      "<requested unit='MiB'>1</requested></target></memory>"
                                      "</devices></domain>")
                         .status()),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
}

TEST(HostFacts, ReadsMachineTypes) {
  HostFacts facts;
  const absl::Status status = ReadCapabilities(R"(<capabilities>
    <host><cpu><arch>x86_64</arch></cpu></host>
    <guest><os_type>hvm</os_type><arch name='i686'>
      <machine canonical='pc-i440fx-1.0'>pc</machine></arch></guest>
    <guest><os_type>hvm</os_type><arch name='x86_64'>
      <machine canonical='pc-i440fx-7.2' maxCpus='255'>pc</machine>
      <machine maxCpus='288'>pc-q35-5.2</machine>
      <machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine>
      <domain type='qemu'/></arch></guest></capabilities>)",
                                               &facts);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(facts.architecture, "x86_64");
  EXPECT_EQ(facts.machine_q35, "pc-q35-7.2");
  EXPECT_EQ(facts.machine_pc, "pc-i440fx-7.2");
  EXPECT_EQ(ReasonOf(ReadCapabilities("<capa", &facts)),
            ErrorReason::ERROR_REASON_HYPERVISOR_ERROR);
}

TEST(HostFacts, TellsKvmFromTcg) {
  EXPECT_TRUE(*DomainCapabilitiesHaveKvm(
      "<domainCapabilities><path>/q</path><domain>kvm</domain></domainCapabilities>"));
  EXPECT_FALSE(
      *DomainCapabilitiesHaveKvm("<domainCapabilities><domain>qemu</domain></domainCapabilities>"));
  EXPECT_FALSE(DomainCapabilitiesHaveKvm("").ok());
}

}  // namespace
}  // namespace cvm::hypervisor
