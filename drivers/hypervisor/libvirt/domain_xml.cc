// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/domain_xml.h"

#include "absl/strings/str_replace.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/domain_check.h"
#include "drivers/hypervisor/libvirt/domain_xml_devices.h"
#include "pugixml.hpp"

namespace cvm::hypervisor {
namespace {

constexpr char kTcgCpuModel[] = "Nehalem";

class StringWriter final : public pugi::xml_writer {
 public:
  void write(const void* data, size_t size) override {
    text_.append(static_cast<const char*>(data), size);
  }
  std::string Take() { return std::move(text_); }

 private:
  std::string text_;
};

void AppendMetadata(pugi::xml_node domain, const std::string& text) {
  if (text.empty()) return;
  const std::string name = std::string(kMetadataPrefix) + ":" + kMetadataElement;
  pugi::xml_node element = AppendText(domain.append_child("metadata"), name.c_str(), text);
  element.append_attribute((std::string("xmlns:") + kMetadataPrefix).c_str()) = kMetadataNamespace;
}

void AppendOs(pugi::xml_node domain, const DomainSpec& spec, const HostFacts& facts,
              const std::string& machine) {
  pugi::xml_node os = domain.append_child("os");
  pugi::xml_node type = AppendText(os, "type", "hvm");
  type.append_attribute("arch") = facts.architecture.c_str();
  type.append_attribute("machine") = machine.c_str();
  if (spec.firmware != Firmware::kUefi) return;
  pugi::xml_node loader = AppendText(os, "loader", facts.ovmf_code);
  loader.append_attribute("readonly") = "yes";
  loader.append_attribute("secure") = "no";
  loader.append_attribute("type") = "pflash";
  pugi::xml_node nvram = AppendText(os, "nvram", spec.nvram_path);
  nvram.append_attribute("template") = facts.ovmf_vars.c_str();
}

void AppendHyperV(pugi::xml_node features) {
  pugi::xml_node hyperv = features.append_child("hyperv");
  hyperv.append_attribute("mode") = "custom";
  const auto on = [&hyperv](const char* name) {
    pugi::xml_node feature = hyperv.append_child(name);
    feature.append_attribute("state") = "on";
    return feature;
  };
  on("relaxed");
  on("vapic");
  on("spinlocks").append_attribute("retries") = "8191";
  on("vpindex");
  on("runtime");
  on("synic");
  on("stimer");
  on("reset");
  on("frequencies");
  on("tlbflush");
  on("ipi");
}

void AppendFeatures(pugi::xml_node domain, bool hyperv) {
  pugi::xml_node features = domain.append_child("features");
  features.append_child("acpi");
  features.append_child("apic");
  if (hyperv) AppendHyperV(features);
  features.append_child("vmport").append_attribute("state") = "off";
}

void AppendCpu(pugi::xml_node domain, const DomainSpec& spec, bool kvm) {
  pugi::xml_node cpu = domain.append_child("cpu");
  const bool host_model =
      spec.cpu_policy == CpuPolicy::kHostModel || (spec.cpu_policy == CpuPolicy::kDefault && kvm);
  if (host_model) {
    cpu.append_attribute("mode") = "host-model";
    cpu.append_attribute("check") = "partial";
  } else {
    const bool named = spec.cpu_policy == CpuPolicy::kNamedModel;
    cpu.append_attribute("mode") = "custom";
    cpu.append_attribute("match") = "exact";
    cpu.append_attribute("check") = "partial";
    // Another model in its place would differ between hosts.
    AppendText(cpu, "model", named ? spec.cpu_model : kTcgCpuModel).append_attribute("fallback") =
        "forbid";
  }
  // One socket: client editions of Windows use no more than two.
  pugi::xml_node topology = cpu.append_child("topology");
  topology.append_attribute("sockets") = "1";
  topology.append_attribute("dies") = "1";
  topology.append_attribute("cores") = spec.vcpus;
  topology.append_attribute("threads") = "1";
}

void AppendClock(pugi::xml_node domain, bool windows, bool hyperv) {
  pugi::xml_node clock = domain.append_child("clock");
  clock.append_attribute("offset") = windows ? "localtime" : "utc";
  const auto timer = [&clock](const char* name, const char* attribute, const char* value) {
    pugi::xml_node node = clock.append_child("timer");
    node.append_attribute("name") = name;
    node.append_attribute(attribute) = value;
  };
  timer("rtc", "tickpolicy", "catchup");
  timer("pit", "tickpolicy", "delay");
  timer("hpet", "present", "no");
  if (hyperv) timer("hypervclock", "present", "yes");
}

void AppendLifecycle(pugi::xml_node domain) {
  AppendText(domain, "on_poweroff", "destroy");
  AppendText(domain, "on_reboot", "restart");
  // A guest that panicked is turned off with reason "crashed"; whoever owns it decides what
  // follows.
  AppendText(domain, "on_crash", "destroy");
  pugi::xml_node pm = domain.append_child("pm");
  pm.append_child("suspend-to-mem").append_attribute("enabled") = "no";
  pm.append_child("suspend-to-disk").append_attribute("enabled") = "no";
}

absl::StatusOr<std::string> MachineType(const DomainSpec& spec, const HostFacts& facts) {
  if (!spec.machine_type.empty()) return spec.machine_type;
  const bool q35 = spec.machine_family == MachineFamily::kQ35;
  const std::string& machine = q35 ? facts.machine_q35 : facts.machine_pc;
  if (machine.empty()) {
    return InvalidField("machine_family", q35 ? "is q35, which this host's QEMU does not have"
                                              : "is pc, which this host's QEMU does not have");
  }
  return machine;
}

}  // namespace

pugi::xml_node AppendText(pugi::xml_node parent, const char* name, const std::string& text) {
  pugi::xml_node node = parent.append_child(name);
  node.append_child(pugi::node_pcdata).set_value(text.c_str());
  return node;
}

absl::StatusOr<std::string> WriteDomainXml(const DomainSpec& spec, const HostFacts& facts) {
  CVM_RETURN_IF_ERROR(CheckDomainSpec(spec));
  CVM_ASSIGN_OR_RETURN(const std::string machine, MachineType(spec, facts));
  const bool kvm = spec.type == DomainType::kKvm || (spec.type == DomainType::kAuto && facts.kvm);
  const bool windows = spec.os_family == OsFamily::kWindows;
  // QEMU implements Hyper-V's interfaces by means of KVM only.
  const bool hyperv = windows && kvm;

  pugi::xml_document document;
  pugi::xml_node domain = document.append_child("domain");
  domain.append_attribute("type") = kvm ? "kvm" : "qemu";
  AppendText(domain, "name", spec.name);
  AppendText(domain, "uuid", spec.uuid);
  if (!spec.title.empty()) AppendText(domain, "title", spec.title);
  AppendMetadata(domain, spec.metadata);
  for (const char* element : {"memory", "currentMemory"}) {
    AppendText(domain, element, std::to_string(spec.memory_mib)).append_attribute("unit") = "MiB";
  }
  AppendText(domain, "vcpu", std::to_string(spec.vcpus)).append_attribute("placement") = "static";
  AppendOs(domain, spec, facts, machine);
  AppendFeatures(domain, hyperv);
  AppendCpu(domain, spec, kvm);
  AppendClock(domain, windows, hyperv);
  AppendLifecycle(domain);
  DomainSpec resolved = spec;
  resolved.machine_type = machine;
  AppendDevices(resolved, kvm, domain.append_child("devices"));

  StringWriter writer;
  document.save(writer, "  ", pugi::format_indent | pugi::format_no_declaration,
                pugi::encoding_utf8);
  // pugixml writes carriage returns as they are, which a parser takes for line feeds. They can
  // stand in the metadata only, where a reference means the same.
  std::string xml = absl::StrReplaceAll(writer.Take(), {{"\r", "&#13;"}});
  if (xml.size() > kMaxDomainXmlBytes) {
    return InvalidField("metadata", "is longer than libvirt takes once it is escaped");
  }
  return xml;
}

std::string WriteMetadataXml(const std::string& text) {
  pugi::xml_document document;
  // libvirt puts it into the namespace that the call names.
  AppendText(document, kMetadataElement, text);
  StringWriter writer;
  document.save(writer, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  return absl::StrReplaceAll(writer.Take(), {{"\r", "&#13;"}});
}

}  // namespace cvm::hypervisor
