// SPDX-License-Identifier: Apache-2.0
//
// The domain XML. Pure and deterministic: the same spec on the same host gives the same bytes.
// Built with pugixml, so that every value is escaped.
//
// What each choice is for:
// - Every device that a guest tells apart by its place has a fixed PCI address (NIC i, disk j), so
//   that attaching one never moves another. On q35 each of the 8 NICs and 21 disks has a root port
//   of its own from the start, because ports cannot be added while the guest runs; they are grouped
//   by eight as functions of one slot. The other devices sit on the root complex. On pc the last
//   disks are behind a PCI bridge.
// - CPU by default: under KVM `host-model`, which libvirt resolves to a named model with features
// at
//   start and migrates; under TCG the named model Nehalem, the least that x86-64-v2 systems boot on
//   (QEMU's qemu64 lacks SSE4.2; `maximum` cannot be migrated).
// - error_policy='stop': on a failed read or write the guest pauses instead of seeing a broken
// disk;
//   it can go on when the cause is gone.
// - Only the system disk is bootable: no network boot ROMs, no boot from a CD-ROM by accident.
// - VNC listens on a unix socket in libvirt's own folder of the domain. Linux guests get no USB;
//   Windows guests get a tablet, since its pointer is unusable otherwise.
// - No suspend states: nothing wakes a guest from them.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "drivers/hypervisor/domain_spec.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::hypervisor {

// The namespace of the agent's element in <metadata>, and the element's name.
inline constexpr char kMetadataNamespace[] = "urn:cvm:agent:1";
inline constexpr char kMetadataPrefix[] = "cvm";
inline constexpr char kMetadataElement[] = "instance";

// libvirt takes no longer strings.
inline constexpr size_t kMaxDomainXmlBytes = 4 << 20;

// What the XML depends on besides the spec.
struct HostFacts {
  bool kvm = false;  // for DomainType::kAuto
  std::string architecture = "x86_64";
  // The newest versioned machine types; empty where the host has none.
  std::string machine_q35;
  std::string machine_pc;
  std::string ovmf_code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
  std::string ovmf_vars = "/usr/share/OVMF/OVMF_VARS_4M.fd";
};

// The errors of CheckDomainSpec(); INVALID_FIELD also for a machine family that the host lacks and
// for metadata that is too long once it is escaped.
absl::StatusOr<std::string> WriteDomainXml(const DomainSpec& spec, const HostFacts& facts);

// What matters of a domain's document as libvirt gives it (its inactive form). persistent and
// autostart are the caller's to fill in. HYPERVISOR_ERROR when it is not well-formed.
absl::StatusOr<DomainDefinition> ReadDomainXml(const std::string& xml);

// The agent's element alone, as virDomainSetMetadata takes it.
std::string WriteMetadataXml(const std::string& text);

// The text of the agent's element, from what libvirt returns for kMetadataNamespace.
// HYPERVISOR_ERROR when it is not well-formed.
absl::StatusOr<std::string> ReadMetadataXml(const std::string& xml);

}  // namespace cvm::hypervisor
