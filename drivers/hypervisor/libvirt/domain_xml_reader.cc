// SPDX-License-Identifier: Apache-2.0
//
// What is read of libvirt's document of a domain. It may be anybody's, so every element may be
// missing.
#include <algorithm>
#include <cctype>
#include <set>

#include "absl/strings/ascii.h"
#include "common/errors.h"
#include "drivers/hypervisor/libvirt/domain_xml.h"
#include "drivers/hypervisor/libvirt/domain_xml_devices.h"
#include "pugixml.hpp"

namespace cvm::hypervisor {
namespace {

constexpr unsigned int kKeepText = pugi::parse_minimal | pugi::parse_escapes | pugi::parse_cdata |
                                   pugi::parse_ws_pcdata | pugi::parse_eol;

std::string TextOf(const pugi::xml_node& node) {
  std::string text;
  for (const pugi::xml_node& child : node.children()) {
    if (child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata)
      text += child.value();
  }
  return text;
}

// libvirt prints KiB; a document that somebody else wrote may say otherwise.
uint64_t MibOf(const pugi::xml_node& node) {
  const uint64_t value = node.text().as_ullong();
  const std::string unit = node.attribute("unit").as_string("KiB");
  if (unit == "b" || unit == "bytes") return value >> 20;
  if (unit == "MiB" || unit == "M") return value;
  if (unit == "GiB" || unit == "G") return value << 10;
  return value >> 10;
}

// What DomainSpec can say, or what libvirt adds by itself.
bool IsKnownDevice(std::string_view name) {
  static const auto* const known = new std::set<std::string_view>{
      "emulator", "disk",       "controller", "interface", "serial",   "console",
      "channel",  "input",      "graphics",   "video",     "sound",    "audio",
      "hub",      "memballoon", "rng",        "panic",     "watchdog", "memory"};
  return known->contains(name);
}

std::string SourceOf(const pugi::xml_node& disk) {
  const pugi::xml_node source = disk.child("source");
  const std::string file = source.attribute("file").as_string();
  return file.empty() ? source.attribute("dev").as_string() : file;
}

// The agent's element, under whatever prefix its namespace is bound to.
std::string MetadataIn(const pugi::xml_node& domain) {
  for (const pugi::xml_node& element : domain.child("metadata").children()) {
    const std::string name = element.name();
    const size_t colon = name.find(':');
    const std::string prefix = colon == std::string::npos ? "" : name.substr(0, colon);
    const std::string local = colon == std::string::npos ? name : name.substr(colon + 1);
    const std::string declared = prefix.empty() ? "xmlns" : "xmlns:" + prefix;
    if (local == kMetadataElement &&
        element.attribute(declared.c_str()).as_string() == std::string(kMetadataNamespace)) {
      return TextOf(element);
    }
  }
  return "";
}

}  // namespace

absl::StatusOr<std::string> ReadMetadataXml(const std::string& xml) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed =
      document.load_buffer(xml.data(), xml.size(), kKeepText, pugi::encoding_utf8);
  if (!parsed) {
    return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
                 std::string("The domain's metadata is not well-formed: ") + parsed.description());
  }
  return TextOf(document.document_element());
}

absl::StatusOr<DomainDefinition> ReadDomainXml(const std::string& xml) {
  pugi::xml_document document;
  const pugi::xml_parse_result parsed =
      document.load_buffer(xml.data(), xml.size(), kKeepText, pugi::encoding_utf8);
  if (!parsed) {
    return Error(
        ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
        std::string("The domain's definition is not well-formed: ") + parsed.description());
  }
  const pugi::xml_node domain = document.document_element();
  DomainDefinition definition;
  definition.name = domain.child_value("name");
  definition.uuid = domain.child_value("uuid");
  const pugi::xml_node vcpu = domain.child("vcpu");
  definition.vcpus = vcpu.attribute("current").as_uint(vcpu.text().as_uint());
  definition.memory_mib = MibOf(domain.child("memory"));
  const pugi::xml_node os = domain.child("os");
  definition.machine_type = os.child("type").attribute("machine").as_string();
  const bool uefi = os.attribute("firmware").as_string() == std::string("efi") ||
                    os.child("loader").attribute("type").as_string() == std::string("pflash");
  definition.firmware = uefi ? Firmware::kUefi : Firmware::kBios;
  std::set<std::string> extras;
  for (const pugi::xml_node& device : domain.child("devices").children()) {
    if (device.type() != pugi::node_element) continue;
    const std::string kind = device.name();
    if (kind == "disk") {
      const std::string type = device.attribute("device").as_string("disk");
      definition.disks.push_back({.target = device.child("target").attribute("dev").as_string(),
                                  .cdrom = type == "cdrom" || type == "floppy",
                                  .path = SourceOf(device),
                                  .format = device.child("driver").attribute("type").as_string()});
    } else if (kind == "interface") {
      definition.nics.push_back(
          {.mac = absl::AsciiStrToLower(device.child("mac").attribute("address").as_string()),
           .bridge = device.child("source").attribute("bridge").as_string()});
    } else if (kind == "memory") {
      // A DIMM is within <memory>, and no part of what the guest is booted with.
      const uint64_t mib = MibOf(device.child("target").child("size"));
      definition.memory_mib -= std::min(definition.memory_mib, mib);
    } else if (!IsKnownDevice(kind)) {
      extras.insert(kind);
    }
  }
  if (domain.child("qemu:commandline")) extras.insert("qemu:commandline");
  definition.extras.assign(extras.begin(), extras.end());
  definition.metadata = MetadataIn(domain);
  return definition;
}

}  // namespace cvm::hypervisor
