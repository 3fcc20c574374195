// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/domain_xml_devices.h"

#include <string>

#include "drivers/hypervisor/domain_check.h"
#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

// Slots of the root bus, below those that the machine takes for itself (video 1 or 2 included).
constexpr unsigned kCdromControllerSlot = 0x03;
constexpr unsigned kSerialControllerSlot = 0x04;
constexpr unsigned kBalloonSlot = 0x05;
constexpr unsigned kRngSlot = 0x06;
constexpr unsigned kUsbSlot = 0x07;
// q35: root ports 1 to 29 are functions of slots 8 to 11; ports 1 to 8 are for NICs.
constexpr unsigned kFirstPortSlot = 0x08;
constexpr unsigned kFunctionsPerSlot = 8;
// pc: NICs and the first disks on the root bus, the remaining disks on the bridge.
constexpr unsigned kBridgeSlot = 0x08;
constexpr unsigned kFirstNicSlot = 0x09;
constexpr unsigned kFirstDiskSlot = kFirstNicSlot + kMaxNics;
constexpr unsigned kLastSlot = 0x1f;
// Of the root bus on q35, of the bridge on pc, beyond the last disk's.
constexpr unsigned kMemorySlot = 0x0c;

void AppendPciAddress(pugi::xml_node device, unsigned bus, unsigned slot, unsigned function = 0) {
  pugi::xml_node address = device.append_child("address");
  address.append_attribute("type") = "pci";
  address.append_attribute("domain") = "0x0000";
  address.append_attribute("bus") = fmt::format("0x{:02x}", bus).c_str();
  address.append_attribute("slot") = fmt::format("0x{:02x}", slot).c_str();
  address.append_attribute("function") = fmt::format("0x{:x}", function).c_str();
}

void AppendNicAddress(pugi::xml_node device, bool q35, unsigned index) {
  if (q35) {
    AppendPciAddress(device, 1 + index, 0);
  } else {
    AppendPciAddress(device, 0, kFirstNicSlot + index);
  }
}

void AppendDiskAddress(pugi::xml_node device, bool q35, unsigned index) {
  if (q35) {
    AppendPciAddress(device, 1 + kMaxNics + index, 0);
  } else if (kFirstDiskSlot + index <= kLastSlot) {
    AppendPciAddress(device, 0, kFirstDiskSlot + index);
  } else {
    AppendPciAddress(device, 1, kFirstDiskSlot + index - kLastSlot);
  }
}

pugi::xml_node AppendController(pugi::xml_node devices, const char* type, unsigned index,
                                const char* model) {
  pugi::xml_node controller = devices.append_child("controller");
  controller.append_attribute("type") = type;
  controller.append_attribute("index") = index;
  if (model != nullptr) controller.append_attribute("model") = model;
  return controller;
}

void AppendPciControllers(pugi::xml_node devices, bool q35) {
  if (!q35) {
    AppendController(devices, "pci", 0, "pci-root");
    AppendPciAddress(AppendController(devices, "pci", 1, "pci-bridge"), 0, kBridgeSlot);
    return;
  }
  AppendController(devices, "pci", 0, "pcie-root");
  for (unsigned port = 0; port < kMaxNics + kMaxDisks; ++port) {
    pugi::xml_node controller = AppendController(devices, "pci", port + 1, "pcie-root-port");
    const unsigned function = port % kFunctionsPerSlot;
    AppendPciAddress(controller, 0, kFirstPortSlot + port / kFunctionsPerSlot, function);
    if (function == 0) controller.child("address").append_attribute("multifunction") = "on";
  }
}

void AppendControllers(const DomainSpec& spec, bool q35, pugi::xml_node devices) {
  AppendPciControllers(devices, q35);
  if (spec.cdrom_bus == CdromBus::kScsi) {
    AppendPciAddress(AppendController(devices, "scsi", 0, "virtio-scsi"), 0, kCdromControllerSlot);
  } else if (spec.cdrom_bus == CdromBus::kSata && !q35) {
    AppendPciAddress(AppendController(devices, "sata", 0, nullptr), 0, kCdromControllerSlot);
  }
  AppendPciAddress(AppendController(devices, "virtio-serial", 0, nullptr), 0,
                   kSerialControllerSlot);
  if (spec.os_family == OsFamily::kWindows) {
    AppendPciAddress(AppendController(devices, "usb", 0, "qemu-xhci"), 0, kUsbSlot);
  } else {
    AppendController(devices, "usb", 0, "none");
  }
}

const char* CacheName(CacheMode cache) {
  switch (cache) {
    case CacheMode::kNone:
      return "none";
    case CacheMode::kWriteback:
      return "writeback";
    case CacheMode::kWritethrough:
      return "writethrough";
    case CacheMode::kDirectsync:
      return "directsync";
    case CacheMode::kUnsafe:
      return "unsafe";
  }
  return "none";
}

// `boot_order` 0: not booted from.
void AppendBootOrder(pugi::xml_node node, unsigned boot_order) {
  if (boot_order != 0) node.append_child("boot").append_attribute("order") = boot_order;
}

void AppendDisk(const DiskDevice& disk, unsigned index, bool q35, unsigned boot_order,
                pugi::xml_node devices) {
  pugi::xml_node node = devices.append_child("disk");
  node.append_attribute("type") = "file";
  node.append_attribute("device") = "disk";
  pugi::xml_node driver = node.append_child("driver");
  driver.append_attribute("name") = "qemu";
  driver.append_attribute("type") = disk.format == DiskFormat::kRaw ? "raw" : "qcow2";
  driver.append_attribute("cache") = CacheName(disk.cache);
  driver.append_attribute("error_policy") = "stop";
  driver.append_attribute("rerror_policy") = "stop";
  // Linux AIO blocks on files that the host's page cache holds.
  const bool direct = disk.cache == CacheMode::kNone || disk.cache == CacheMode::kDirectsync;
  driver.append_attribute("io") = direct ? "native" : "threads";
  driver.append_attribute("discard") = disk.discard ? "unmap" : "ignore";
  node.append_child("source").append_attribute("file") = disk.path.c_str();
  pugi::xml_node target = node.append_child("target");
  target.append_attribute("dev") = fmt::format("vd{:c}", static_cast<char>('a' + index)).c_str();
  target.append_attribute("bus") = "virtio";
  AppendText(node, "serial", disk.id);
  AppendBootOrder(node, boot_order);
  AppendDiskAddress(node, q35, index);
}

void AppendCdrom(const CdromDevice& cdrom, CdromBus bus, unsigned index, unsigned boot_order,
                 pugi::xml_node devices) {
  pugi::xml_node node = devices.append_child("disk");
  node.append_attribute("type") = "file";
  node.append_attribute("device") = "cdrom";
  pugi::xml_node driver = node.append_child("driver");
  driver.append_attribute("name") = "qemu";
  driver.append_attribute("type") = "raw";
  if (!cdrom.path.empty())
    node.append_child("source").append_attribute("file") = cdrom.path.c_str();
  const bool ide = bus == CdromBus::kIde;
  pugi::xml_node target = node.append_child("target");
  target.append_attribute("dev") =
      fmt::format("{}d{:c}", ide ? 'h' : 's', static_cast<char>('a' + index)).c_str();
  target.append_attribute("bus") = ide ? "ide" : bus == CdromBus::kSata ? "sata" : "scsi";
  node.append_child("readonly");
  AppendBootOrder(node, boot_order);
  pugi::xml_node address = node.append_child("address");
  address.append_attribute("type") = "drive";
  address.append_attribute("controller") = "0";
  // An IDE controller has two channels of two drives.
  address.append_attribute("bus") = ide ? index / 2 : 0;
  address.append_attribute("target") = "0";
  address.append_attribute("unit") = ide ? index % 2 : index;
}

void AppendNic(const NicDevice& nic, unsigned index, bool q35, pugi::xml_node devices) {
  pugi::xml_node node = devices.append_child("interface");
  node.append_attribute("type") = "bridge";
  node.append_child("mac").append_attribute("address") = nic.mac.c_str();
  node.append_child("source").append_attribute("bridge") = nic.bridge.c_str();
  node.append_child("target").append_attribute("dev") = nic.tap_name.c_str();
  node.append_child("model").append_attribute("type") = "virtio";
  if (nic.mtu != 0) node.append_child("mtu").append_attribute("size") = nic.mtu;
  node.append_child("rom").append_attribute("enabled") = "no";
  AppendNicAddress(node, q35, index);
}

void AppendConsole(const DomainSpec& spec, pugi::xml_node devices) {
  pugi::xml_node serial = devices.append_child("serial");
  serial.append_attribute("type") = "pty";
  pugi::xml_node log = serial.append_child("log");
  log.append_attribute("file") = spec.console_log_path.c_str();
  log.append_attribute("append") = "on";
  pugi::xml_node target = serial.append_child("target");
  target.append_attribute("type") = "isa-serial";
  target.append_attribute("port") = "0";
  target.append_child("model").append_attribute("name") = "isa-serial";
  pugi::xml_node console = devices.append_child("console");
  console.append_attribute("type") = "pty";
  target = console.append_child("target");
  target.append_attribute("type") = "serial";
  target.append_attribute("port") = "0";

  pugi::xml_node channel = devices.append_child("channel");
  channel.append_attribute("type") = "unix";
  target = channel.append_child("target");
  target.append_attribute("type") = "virtio";
  target.append_attribute("name") = "org.qemu.guest_agent.0";
  pugi::xml_node address = channel.append_child("address");
  address.append_attribute("type") = "virtio-serial";
  address.append_attribute("controller") = "0";
  address.append_attribute("bus") = "0";
  address.append_attribute("port") = "1";
}

void AppendScreen(const DomainSpec& spec, pugi::xml_node devices) {
  if (spec.os_family == OsFamily::kWindows) {
    pugi::xml_node tablet = devices.append_child("input");
    tablet.append_attribute("type") = "tablet";
    tablet.append_attribute("bus") = "usb";
  }
  pugi::xml_node graphics = devices.append_child("graphics");
  graphics.append_attribute("type") = "vnc";
  graphics.append_child("listen").append_attribute("type") = "socket";
  pugi::xml_node model = devices.append_child("video").append_child("model");
  model.append_attribute("type") = "vga";
  model.append_attribute("vram") = "16384";
  model.append_attribute("heads") = "1";
}

// Memory that the running guest takes and gives back. It costs nothing before it is taken.
void AppendHotplugMemory(const DomainSpec& spec, bool q35, pugi::xml_node devices) {
  if (spec.hotplug_memory_mib == 0) return;
  pugi::xml_node memory = devices.append_child("memory");
  memory.append_attribute("model") = "virtio-mem";
  pugi::xml_node target = memory.append_child("target");
  const auto size = [&target](const char* name, uint64_t mib) {
    AppendText(target, name, std::to_string(mib)).append_attribute("unit") = "MiB";
  };
  size("size", spec.hotplug_memory_mib);
  AppendText(target, "node", "0");
  size("block", kHotplugStepMib);
  size("requested", spec.hotplug_requested_mib);
  AppendPciAddress(memory, q35 ? 0 : 1, kMemorySlot);
}

}  // namespace

void AppendDevices(const DomainSpec& spec, bool kvm, pugi::xml_node devices) {
  const bool q35 = IsQ35(spec);
  AppendControllers(spec, q35, devices);
  const unsigned first_disk = spec.boots_rescue_medium ? 2 : 1;
  for (unsigned i = 0; i < spec.disks.size(); ++i) {
    AppendDisk(spec.disks[i], i, q35, i == 0 ? first_disk : 0, devices);
  }
  for (unsigned i = 0; i < std::size(spec.cdroms); ++i) {
    const bool booted = spec.boots_rescue_medium && i == kRescueCdrom;
    AppendCdrom(spec.cdroms[i], spec.cdrom_bus, i, booted ? 1 : 0, devices);
  }
  for (unsigned i = 0; i < spec.nics.size(); ++i) AppendNic(spec.nics[i], i, q35, devices);
  AppendConsole(spec, devices);
  AppendScreen(spec, devices);

  pugi::xml_node balloon = devices.append_child("memballoon");
  balloon.append_attribute("model") = "virtio";
  AppendPciAddress(balloon, 0, kBalloonSlot);
  pugi::xml_node rng = devices.append_child("rng");
  rng.append_attribute("model") = "virtio";
  AppendText(rng, "backend", "/dev/urandom").append_attribute("model") = "random";
  AppendPciAddress(rng, 0, kRngSlot);
  // Windows reports a bug check through Hyper-V, which needs KVM, and knows no other way by itself.
  const bool hyperv = spec.os_family == OsFamily::kWindows && kvm;
  devices.append_child("panic").append_attribute("model") = hyperv ? "hyperv" : "isa";
  AppendHotplugMemory(spec, q35, devices);
}

}  // namespace cvm::hypervisor
