// SPDX-License-Identifier: Apache-2.0
//
// What the agent needs of a hypervisor. Implementations: libvirt/ (real) and fake/ (in memory, with
// fault injection). One contract suite, tests/contract, runs on both.
//
// Domains are known by their UUID (lower case). Every call is thread-safe and bounded: it returns
// within its deadline even when the hypervisor hangs, then with HYPERVISOR_UNAVAILABLE; the work
// may still happen afterwards, so callers look before they repeat. Errors: HYPERVISOR_UNAVAILABLE
// (no connection, or no answer in time), DOMAIN_NOT_FOUND, INVALID_INSTANCE_STATE (the domain is
// not in a state for this), HYPERVISOR_ERROR (with the hypervisor's own words, host paths removed).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "drivers/hypervisor/domain_spec.h"

namespace cvm::hypervisor {

enum class PowerState { kRunning, kPaused, kStopped, kCrashed, kSuspended };

// What is seen of one domain.
struct DomainStatus {
  std::string uuid;
  std::string name;
  PowerState state = PowerState::kStopped;
  // "booted", "shutdown", "destroyed", "crashed", "io-error", "user", "migrated", "failed", ...:
  // libvirt's reason in lower case with dashes; "unknown" where it has none.
  std::string reason;
  bool persistent = true;
  bool has_managed_save = false;
};

// What a running domain has now; DomainSpec has the terms.
struct DomainSize {
  uint32_t vcpus = 0;
  // Of the virtio-mem device: what the guest was asked to take, and what it has taken. 0 without a
  // device.
  uint64_t hotplug_requested_mib = 0;
  uint64_t hotplug_current_mib = 0;
  // What the balloon has left to the guest of its boot memory.
  uint64_t balloon_mib = 0;
};

// What matters of a domain's definition, as it would be booted next (of a transient domain: as it
// runs). Read from the hypervisor's own document; what a field does not say is not looked at.
struct DomainDefinition {
  struct Disk {
    std::string target;  // "vda", "sdb"
    bool cdrom = false;
    std::string path;    // empty: no medium, or not a file or block device
    std::string format;  // "qcow2", "raw"
  };
  struct Nic {
    std::string mac;     // lower case
    std::string bridge;  // empty: not on a bridge
  };
  std::string name;
  std::string uuid;
  bool persistent = true;
  bool autostart = false;
  uint32_t vcpus = 0;
  uint64_t memory_mib = 0;
  std::string machine_type;
  Firmware firmware = Firmware::kBios;
  std::vector<Disk> disks;  // in the definition's order, CD-ROM drives too
  std::vector<Nic> nics;
  // Kinds of devices that DomainSpec cannot say ("hostdev"), and "qemu:commandline"; sorted.
  std::vector<std::string> extras;
  // The agent's element; empty when there is none.
  std::string metadata;
};

struct HostInfo {
  bool kvm = false;
  std::string architecture;
  uint32_t cpus = 0;
  uint64_t memory_mib = 0;  // total of the host
  std::string libvirt_version;
  std::string qemu_version;
};

// Something happened. Delivered one at a time, in order, on a thread of the driver's own; the
// handler must return quickly and must not call the hypervisor.
struct HypervisorEvent {
  enum class Kind {
    // The connection is (again) up; a full list of all domains, in `domains`, taken after the event
    // registration: what is not in it does not exist.
    kConnected,
    // The connection is lost; until kConnected nothing is known. `message` says why, `unanswered`
    // as SinceLastAnswer.
    kDisconnected,
    // The domain's state is now `domains[0]`.
    kDomainState,
    // The domain has been undefined (or a transient one has ended): domains[0] has uuid and name.
    kDomainGone,
    // The guest rebooted (reset inside the same domain): domains[0] has uuid and name.
    kDomainRebooted,
    // The guest has taken or given back memory: domains[0] has uuid and name; GetDomainSize tells
    // how much.
    kDomainMemoryChanged,
  };
  Kind kind = Kind::kDomainState;
  std::vector<DomainStatus> domains;
  std::string message;
  absl::Duration unanswered = absl::ZeroDuration();
};

struct Screenshot {
  std::string png;
  uint32_t width = 0;
  uint32_t height = 0;
};

// A guest's serial port. Closing is by destruction. Thread-safe.
class ConsoleSession {
 public:
  virtual ~ConsoleSession() = default;
  // Sends input to the guest; may take only a part: returns how much.
  virtual absl::StatusOr<size_t> Write(std::string_view input) = 0;
};

struct ConsoleHandler {
  // Called on a thread of the driver's own; must not block.
  std::function<void(std::string_view output)> on_output;
  // Called once, when the guest stopped, the session was taken over, or the connection was lost.
  // Not called when the session is destroyed first. No call arrives after the destructor returned.
  std::function<void(absl::Status reason)> on_closed;
};

class Hypervisor {
 public:
  virtual ~Hypervisor() = default;

  // Connects (and connects again after every loss, for ever) and delivers events to `handler`.
  // Called once. Returns at once; kConnected or kDisconnected says how it went.
  virtual void Start(std::function<void(const HypervisorEvent&)> handler) = 0;
  // Ends the delivery of events and closes the connection. Guests are left alone. When it returns,
  // the handler is not being called and will not be called.
  virtual void Stop() = 0;

  // How long ago the hypervisor last answered: what is known of its guests was true then. A second
  // or two while it does; grows while it hangs, long before kDisconnected says so. Infinite before
  // the first answer.
  virtual absl::Duration SinceLastAnswer() const = 0;

  // From a cache filled at each connection; UNAVAILABLE before the first one.
  virtual absl::StatusOr<HostInfo> GetHostInfo() = 0;
  // The newest versioned machine type of the family ("pc-q35-7.2").
  virtual absl::StatusOr<std::string> ResolveMachineType(MachineFamily family) = 0;

  virtual absl::StatusOr<std::vector<DomainStatus>> ListDomains() = 0;
  virtual absl::StatusOr<DomainStatus> GetDomain(const std::string& uuid) = 0;

  // Defines the domain, or redefines one with the same UUID and name (idempotent). Autostart is
  // off. Nothing is started.
  virtual absl::Status DefineDomain(const DomainSpec& spec) = 0;
  // Boots a defined domain; OK when it is running already. A managed save is refused
  // (INVALID_INSTANCE_STATE).
  virtual absl::Status StartDomain(const std::string& uuid) = 0;
  // Asks the guest to shut down (ACPI power button; through the guest agent when it answers).
  // Returns when asked, not when done. OK when it is off already.
  virtual absl::Status ShutdownDomain(const std::string& uuid) = 0;
  // Cuts the power; OK when it is off already. Uses a lane of its own, so that it is not held up by
  // other calls that hang.
  virtual absl::Status DestroyDomain(const std::string& uuid) = 0;
  // Asks the guest to reboot (ACPI or guest agent). Returns when asked. kDomainRebooted tells when.
  virtual absl::Status RebootDomain(const std::string& uuid) = 0;
  // Presses reset.
  virtual absl::Status ResetDomain(const std::string& uuid) = 0;
  // Removes the definition with its managed save, snapshot and checkpoint metadata and NVRAM; OK
  // when there is no such domain; INVALID_INSTANCE_STATE while it is running.
  virtual absl::Status UndefineDomain(const std::string& uuid) = 0;

  // The size of a running domain. These four change nothing of its definition, which is
  // DefineDomain's, and give INVALID_INSTANCE_STATE for one that is not on.
  virtual absl::StatusOr<DomainSize> GetDomainSize(const std::string& uuid) = 0;
  // Adds vCPUs until there are `vcpus`; OK when there are as many or more. None is ever taken away:
  // QEMU 7.2 crashes under TCG at the first device that is attached after that. HYPERVISOR_ERROR
  // above the definition's maximum.
  virtual absl::Status AddVcpus(const std::string& uuid, uint32_t vcpus) = 0;
  // Asks the guest to have this much of its virtio-mem device, more or less than now. Returns when
  // asked; kDomainMemoryChanged tells of what it does. HYPERVISOR_ERROR without a device, or above
  // its size.
  virtual absl::Status RequestHotplugMemory(const std::string& uuid, uint64_t mib) = 0;
  // Asks the guest to keep this much of its boot memory. Returns when asked, likewise.
  virtual absl::Status SetBalloon(const std::string& uuid, uint64_t mib) = 0;

  virtual absl::StatusOr<Screenshot> TakeScreenshot(const std::string& uuid) = 0;
  // With `take_over` an existing session of anybody is ended; without, OPERATION_IN_PROGRESS.
  virtual absl::StatusOr<std::unique_ptr<ConsoleSession>> OpenConsole(const std::string& uuid,
                                                                      bool take_over,
                                                                      ConsoleHandler handler) = 0;
  // The agent's element of the domain's <metadata>; NotFound status when it has none.
  virtual absl::StatusOr<std::string> GetDomainMetadata(const std::string& uuid) = 0;
  // Sets the agent's element, or removes it (empty text, also when there is none), in the
  // definition and in the running domain; nothing else changes.
  virtual absl::Status SetDomainMetadata(const std::string& uuid, const std::string& text) = 0;
  virtual absl::StatusOr<DomainDefinition> GetDomainDefinition(const std::string& uuid) = 0;
  // The size that the guest sees of the disk at `target`.
  virtual absl::StatusOr<uint64_t> GetDiskBytes(const std::string& uuid,
                                                const std::string& target) = 0;
  // Whether the hypervisor starts the domain with itself. INVALID_INSTANCE_STATE for a transient
  // domain.
  virtual absl::Status SetAutostart(const std::string& uuid, bool on) = 0;
};

}  // namespace cvm::hypervisor
