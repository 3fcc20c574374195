// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/host_facts.h"

#include <libvirt/virterror.h>

#include <cstring>
#include <vector>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/handles.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"
#include "fmt/format.h"
#include "pugixml.hpp"

namespace cvm::hypervisor {
namespace {

absl::Status Parse(const std::string& xml, const char* what, pugi::xml_document* document) {
  const pugi::xml_parse_result parsed = document->load_buffer(xml.data(), xml.size());
  if (parsed) return absl::OkStatus();
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
               fmt::format("libvirt's {} are not well-formed: {}", what, parsed.description()));
}

std::string Version(unsigned long number) {
  return fmt::format("{}.{}.{}", number / 1000000, number / 1000 % 1000, number % 1000);
}

// OK for a call that the driver does not have.
absl::Status ErrorUnlessUnsupported(const char* doing) {
  const int code = LastLibvirtCode();
  if (code == VIR_ERR_NO_SUPPORT || code == VIR_ERR_CONFIG_UNSUPPORTED) return absl::OkStatus();
  return LastLibvirtError(doing);
}

absl::StatusOr<uint64_t> ReadMemoryMib(virConnectPtr connection) {
  // virNodeGetInfo's figure is wrong where the firmware describes the memory unusually.
  int count = 0;
  if (virNodeGetMemoryStats(connection, VIR_NODE_MEMORY_STATS_ALL_CELLS, nullptr, &count, 0) == 0 &&
      count > 0) {
    std::vector<virNodeMemoryStats> stats(static_cast<size_t>(count));
    if (virNodeGetMemoryStats(connection, VIR_NODE_MEMORY_STATS_ALL_CELLS, stats.data(), &count,
                              0) == 0) {
      for (const virNodeMemoryStats& stat : stats) {
        if (std::strcmp(stat.field, VIR_NODE_MEMORY_STATS_TOTAL) == 0) return stat.value / 1024;
      }
    }
  }
  CVM_RETURN_IF_ERROR(ErrorUnlessUnsupported("read the host's memory"));
  return 0;
}

}  // namespace

absl::Status ReadCapabilities(const std::string& xml, HostFacts* facts) {
  pugi::xml_document document;
  CVM_RETURN_IF_ERROR(Parse(xml, "capabilities", &document));
  const pugi::xml_node root = document.child("capabilities");
  const pugi::xml_node host_arch = root.child("host").child("cpu").child("arch");
  if (host_arch) facts->architecture = host_arch.text().as_string();
  for (const pugi::xml_node& guest : root.children("guest")) {
    const pugi::xml_node arch = guest.child("arch");
    if (facts->architecture != arch.attribute("name").as_string()) continue;
    // The unversioned names stand for the newest versioned ones.
    for (const pugi::xml_node& machine : arch.children("machine")) {
      const std::string canonical = machine.attribute("canonical").as_string();
      const std::string name = machine.text().as_string();
      if (name == "q35" && !canonical.empty()) facts->machine_q35 = canonical;
      if (name == "pc" && !canonical.empty()) facts->machine_pc = canonical;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> DomainCapabilitiesHaveKvm(const std::string& xml) {
  pugi::xml_document document;
  CVM_RETURN_IF_ERROR(Parse(xml, "domain capabilities", &document));
  const std::string type = document.child("domainCapabilities").child("domain").text().as_string();
  return type == "kvm";
}

absl::StatusOr<HostInventory> ReadHost(virConnectPtr connection) {
  HostInventory host;
  const TextHandle capabilities(virConnectGetCapabilities(connection));
  if (capabilities == nullptr) return LastLibvirtError("describe the host");
  CVM_RETURN_IF_ERROR(ReadCapabilities(capabilities.get(), &host.facts));
  // Without a type libvirt describes the best one that works here.
  const TextHandle domain(virConnectGetDomainCapabilities(
      connection, nullptr, host.facts.architecture.c_str(), nullptr, nullptr, 0));
  if (domain != nullptr) {
    CVM_ASSIGN_OR_RETURN(host.facts.kvm, DomainCapabilitiesHaveKvm(domain.get()));
  } else {
    CVM_RETURN_IF_ERROR(ErrorUnlessUnsupported("describe what guests it can run"));
  }

  virNodeInfo node = {};
  if (virNodeGetInfo(connection, &node) < 0) return LastLibvirtError("describe the host");
  CVM_ASSIGN_OR_RETURN(host.info.memory_mib, ReadMemoryMib(connection));
  if (host.info.memory_mib == 0) host.info.memory_mib = node.memory / 1024;
  unsigned long libvirt_version = 0;
  unsigned long hypervisor_version = 0;
  if (virConnectGetLibVersion(connection, &libvirt_version) < 0) {
    return LastLibvirtError("tell its version");
  }
  if (virConnectGetVersion(connection, &hypervisor_version) < 0) {
    CVM_RETURN_IF_ERROR(ErrorUnlessUnsupported("tell the version of QEMU"));
  }
  host.info.kvm = host.facts.kvm;
  host.info.architecture = host.facts.architecture;
  host.info.cpus = node.cpus;
  host.info.libvirt_version = Version(libvirt_version);
  host.info.qemu_version = Version(hypervisor_version);
  return host;
}

}  // namespace cvm::hypervisor
