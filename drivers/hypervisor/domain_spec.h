// SPDX-License-Identifier: Apache-2.0
//
// A guest's hardware as plain data, without libvirt. The domain XML writer turns it into libvirt's
// document; nothing else does.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cvm::hypervisor {

enum class Firmware { kBios, kUefi };
enum class CdromBus { kScsi, kSata, kIde };
enum class OsFamily { kLinux, kWindows };
enum class MachineFamily { kQ35, kPc };
// The accelerator; kAuto is decided by the driver from libvirt's domain capabilities.
enum class DomainType { kAuto, kKvm, kQemu };
// What the guest sees as its CPU. kHostBaseline is the named model of DomainSpec::cpu_model.
enum class CpuPolicy { kDefault, kNamedModel, kHostModel };
enum class CacheMode { kNone, kWriteback, kWritethrough, kDirectsync, kUnsafe };
enum class DiskFormat { kQcow2, kRaw };

// Linux takes memory in blocks of 128 MiB, of which it can use parts of 4 MiB (the largest piece of
// its page allocator). With these as the device's size and block it can take all that is asked.
inline constexpr uint64_t kHotplugPieceMib = 128;
inline constexpr uint64_t kHotplugStepMib = 4;

// A virtio-blk disk. The first of a domain is its system disk (vda), and so on in order.
struct DiskDevice {
  std::string id;    // serial number seen by the guest; at most 20 bytes
  std::string path;  // absolute
  DiskFormat format = DiskFormat::kQcow2;
  CacheMode cache = CacheMode::kNone;
  bool discard = true;  // pass the guest's discard on (discard='unmap')
};

inline constexpr size_t kRescueCdrom = 2;

// One of the three drives, always present: config drive, the user's ISO, the rescue medium.
struct CdromDevice {
  std::string path;  // empty: no medium
};

struct NicDevice {
  std::string id;
  std::string mac;       // lower case
  std::string bridge;    // the host bridge
  std::string tap_name;  // at most 15 bytes
  uint32_t mtu = 0;      // 0: the bridge's
};

struct DomainSpec {
  // libvirt's name: the instance id for a domain that the agent made.
  std::string name;
  std::string uuid;
  std::string title;  // for people; may hold any UTF-8 without control characters
  DomainType type = DomainType::kAuto;
  // A machine type with its version ("pc-q35-7.2"). Empty: the driver takes the newest versioned
  // one of `machine_family` that the host's QEMU has.
  std::string machine_type;
  MachineFamily machine_family = MachineFamily::kQ35;
  Firmware firmware = Firmware::kBios;
  OsFamily os_family = OsFamily::kLinux;
  CdromBus cdrom_bus = CdromBus::kScsi;
  CpuPolicy cpu_policy = CpuPolicy::kDefault;
  std::string cpu_model;  // with kNamedModel
  uint32_t vcpus = 1;
  // What a running guest can be given; 0: no more than `vcpus`.
  uint32_t max_vcpus = 0;
  // At boot.
  uint64_t memory_mib = 0;
  // Memory that a running guest can be given above that, by a virtio-mem device of this size: a
  // multiple of kHotplugPieceMib. 0: no such device.
  uint64_t hotplug_memory_mib = 0;
  // How much of it the guest is asked to take: a multiple of kHotplugStepMib.
  uint64_t hotplug_requested_mib = 0;
  // What the balloon leaves to the guest of `memory_mib`; 0: all.
  uint64_t balloon_mib = 0;
  std::vector<DiskDevice> disks;  // 1 to 21
  // [0] config drive, [1] the user's ISO, [2] rescue medium.
  std::array<CdromDevice, 3> cdroms;
  // Boot from cdroms[2], and from disks[0] when that cannot be booted.
  bool boots_rescue_medium = false;
  std::vector<NicDevice> nics;  // at most 8
  // Console log of the first serial port; bounded by virtlogd's rotation. Absolute.
  std::string console_log_path;
  // With kUefi: the guest's own variable store. Absolute.
  std::string nvram_path;
  // The agent's element in <metadata>: an opaque text (the instance as JSON without its secrets),
  // at most 1 MiB.
  std::string metadata;
};

}  // namespace cvm::hypervisor
