// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/memory_device_xml.h"

#include <sstream>
#include <string_view>

#include "common/errors.h"
#include "common/status_macros.h"
#include "pugixml.hpp"

namespace cvm::hypervisor {
namespace {

absl::Status NotUnderstood(const std::string& what) {
  return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
               "libvirt's description of the domain is not understood: " + what);
}

// libvirt writes sizes in KiB.
absl::StatusOr<uint64_t> ReadMib(const pugi::xml_node& target, const char* name) {
  const pugi::xml_node node = target.child(name);
  if (!node || std::string_view(node.attribute("unit").value()) != "KiB") {
    return NotUnderstood(std::string("the memory device has no <") + name + "> in KiB");
  }
  return node.text().as_ullong() / 1024;
}

}  // namespace

absl::StatusOr<std::optional<MemoryDevice>> ReadMemoryDevice(const std::string& domain_xml,
                                                             std::optional<uint64_t> request_mib) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed =
      document.load_buffer(domain_xml.data(), domain_xml.size(), pugi::parse_default);
  if (!parsed) return NotUnderstood(parsed.description());
  for (const pugi::xml_node& memory :
       document.child("domain").child("devices").children("memory")) {
    if (std::string_view(memory.attribute("model").value()) != "virtio-mem") continue;
    const pugi::xml_node target = memory.child("target");
    MemoryDevice device;
    CVM_ASSIGN_OR_RETURN(device.requested_mib, ReadMib(target, "requested"));
    CVM_ASSIGN_OR_RETURN(device.current_mib, ReadMib(target, "current"));
    if (request_mib) {
      target.child("requested").text().set(std::to_string(*request_mib * 1024).c_str());
    }
    std::ostringstream out;
    memory.print(out, "", pugi::format_raw);
    device.xml = out.str();
    return device;
  }
  return std::nullopt;
}

}  // namespace cvm::hypervisor
