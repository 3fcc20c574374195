// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/drivers/hypervisor/domain_specs.h"

#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

DiskDevice DataDisk(size_t index) {
  DiskDevice disk;
  disk.id = fmt::format("disk-data{:04}", index);
  disk.path = fmt::format("/var/lib/cvm/agent/volumes/{}.qcow2", disk.id);
  return disk;
}

NicDevice Nic(size_t index) {
  NicDevice nic;
  nic.id = fmt::format("eni-0000000{}", index);
  nic.mac = fmt::format("52:54:00:00:00:{:02x}", index + 1);
  nic.bridge = "cvmbr0";
  nic.tap_name = fmt::format("cvm1a2b3c4d-{}", index);
  return nic;
}

DomainSpec Windows() {
  DomainSpec spec = PlainSpec();
  spec.os_family = OsFamily::kWindows;
  spec.cdrom_bus = CdromBus::kSata;
  spec.vcpus = 4;
  spec.memory_mib = 8192;
  return spec;
}

DomainSpec Full(MachineFamily family) {
  DomainSpec spec = PlainSpec();
  spec.machine_family = family;
  for (size_t i = 1; i < 21; ++i) spec.disks.push_back(DataDisk(i));
  for (size_t i = 1; i < 8; ++i) spec.nics.push_back(Nic(i));
  return spec;
}

DomainSpec Uefi(DomainSpec spec) {
  spec.firmware = Firmware::kUefi;
  spec.nvram_path = "/var/lib/cvm/agent/instances/ins-1a2b3c4d/nvram.fd";
  return spec;
}

}  // namespace

HostFacts GoldenFacts(bool kvm) {
  HostFacts facts;
  facts.kvm = kvm;
  facts.machine_q35 = "pc-q35-7.2";
  facts.machine_pc = "pc-i440fx-7.2";
  return facts;
}

DomainSpec PlainSpec() {
  DomainSpec spec;
  spec.name = "ins-1a2b3c4d";
  spec.uuid = "6f3f3c8e-6c5a-4d0e-9a43-0f6a1d2b3c4d";
  spec.title = "web server";
  spec.memory_mib = 512;
  DiskDevice disk;
  disk.id = "disk-1a2b3c4d";
  disk.path = "/var/lib/cvm/agent/instances/ins-1a2b3c4d/system.qcow2";
  spec.disks.push_back(disk);
  spec.cdroms[0].path = "/var/lib/cvm/agent/instances/ins-1a2b3c4d/config.iso";
  spec.nics.push_back(Nic(0));
  spec.console_log_path = "/var/lib/cvm/agent/instances/ins-1a2b3c4d/console.log";
  spec.metadata = R"({"id":"ins-1a2b3c4d","owner":"a"})";
  return spec;
}

std::vector<NamedSpec> GoldenSpecs() {
  std::vector<NamedSpec> specs;
  const auto add = [&specs](std::string name, DomainSpec spec, bool kvm_host = false) {
    specs.push_back({std::move(name), std::move(spec), kvm_host});
    return &specs.back().spec;
  };
  add("linux-q35-tcg", PlainSpec());
  add("linux-q35-kvm", PlainSpec(), true);
  add("linux-forced-kvm", PlainSpec())->type = DomainType::kKvm;
  add("linux-forced-tcg", PlainSpec(), true)->type = DomainType::kQemu;
  add("linux-pc", PlainSpec())->machine_family = MachineFamily::kPc;
  DomainSpec* pc_ide = add("linux-pc-ide", PlainSpec());
  pc_ide->machine_family = MachineFamily::kPc;
  pc_ide->cdrom_bus = CdromBus::kIde;
  DomainSpec* pc_sata = add("linux-pc-sata", PlainSpec());
  pc_sata->machine_family = MachineFamily::kPc;
  pc_sata->cdrom_bus = CdromBus::kSata;
  add("linux-q35-sata", PlainSpec())->cdrom_bus = CdromBus::kSata;
  add("linux-machine-pinned", PlainSpec())->machine_type = "pc-q35-6.2";
  add("linux-uefi", Uefi(PlainSpec()));
  DomainSpec* uefi_pc = add("linux-uefi-pc", Uefi(PlainSpec()), true);
  uefi_pc->machine_family = MachineFamily::kPc;
  DomainSpec* named = add("cpu-named-model", PlainSpec(), true);
  named->cpu_policy = CpuPolicy::kNamedModel;
  named->cpu_model = "Skylake-Server-noTSX-IBRS";
  add("cpu-host-model", PlainSpec())->cpu_policy = CpuPolicy::kHostModel;
  DomainSpec* large = add("large", PlainSpec(), true);
  large->vcpus = 255;
  large->memory_mib = uint64_t{16} << 20;
  add("windows-kvm", Windows(), true);
  add("windows-tcg", Windows());
  add("windows-uefi-kvm", Uefi(Windows()), true);
  DomainSpec* windows_pc = add("windows-pc-ide-kvm", Windows(), true);
  windows_pc->machine_family = MachineFamily::kPc;
  windows_pc->cdrom_bus = CdromBus::kIde;
  add("full-q35", Full(MachineFamily::kQ35));
  add("full-pc", Full(MachineFamily::kPc));
  DomainSpec* full_ide = add("full-pc-ide-kvm", Full(MachineFamily::kPc), true);
  full_ide->cdrom_bus = CdromBus::kIde;
  DomainSpec* bare = add("no-nic-no-media-no-metadata", PlainSpec());
  bare->nics.clear();
  bare->cdroms[0].path.clear();
  bare->title.clear();
  bare->metadata.clear();
  DomainSpec* media = add("all-media", PlainSpec());
  media->cdroms[1].path = "/var/lib/cvm/agent/isos/user.iso";
  media->cdroms[2].path = "/var/lib/cvm/agent/isos/rescue.iso";
  DomainSpec* rescue = add("rescue-medium", PlainSpec());
  rescue->cdroms[2].path = "/var/lib/cvm/agent/instances/ins-1a2b3c4d/rescue.iso";
  rescue->boots_rescue_medium = true;
  DomainSpec* escaping = add("metacharacters", PlainSpec());
  escaping->title = R"(<a href="x">&amp;'quoted'</a> ]]> <!-- -->)";
  escaping->metadata = "\n {\"name\":\"</cvm:instance><x/>&lt;'\\u0000\"}\t]]>\r\n<![CDATA[x]]>  ";
  escaping->disks[0].path = R"(/var/lib/a & b/"quoted" <'x'>.qcow2)";
  DomainSpec* unicode = add("unicode", PlainSpec());
  unicode->title = "主机 名 \xf0\x9f\x90\xa7 é";
  unicode->metadata = "{\"name\":\"主机\"}";
  unicode->cdroms[1].path = "/var/lib/cvm/isos/système.iso";
  DomainSpec* caches = add("cache-modes", PlainSpec());
  static constexpr CacheMode kModes[] = {CacheMode::kWriteback, CacheMode::kWritethrough,
                                         CacheMode::kDirectsync, CacheMode::kUnsafe};
  for (size_t i = 0; i < std::size(kModes); ++i) {
    DiskDevice disk = DataDisk(i + 1);
    disk.cache = kModes[i];
    caches->disks.push_back(disk);
  }
  DomainSpec* raw = add("raw-no-discard", PlainSpec());
  raw->disks[0].format = DiskFormat::kRaw;
  raw->disks[0].discard = false;
  add("nic-mtu", PlainSpec())->nics[0].mtu = 9000;
  add("growable-vcpus", PlainSpec())->max_vcpus = 8;
  DomainSpec* growable = add("growable-memory", PlainSpec());
  growable->hotplug_memory_mib = 1536;
  DomainSpec* grown = add("grown-full-pc-kvm", Full(MachineFamily::kPc), true);
  grown->vcpus = 2;
  grown->max_vcpus = 4;
  grown->hotplug_memory_mib = 512;
  grown->hotplug_requested_mib = 132;
  add("ballooned", PlainSpec())->balloon_mib = 300;
  return specs;
}

}  // namespace cvm::hypervisor
