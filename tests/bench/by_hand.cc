// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/by_hand.h"

#include <fmt/format.h>
#include <libvirt/virterror.h>

#include <pugixml.hpp>
#include <sstream>

#include "agent/paths.h"
#include "common/file.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/subprocess.h"
#include "drivers/hypervisor/libvirt/handles.h"

namespace cvm::bench {
namespace {

namespace v1 = agent::v1;
using hypervisor::DomainHandle;
using hypervisor::TextHandle;

constexpr size_t kMaxIsoBytes = 64 << 20;
constexpr char kConfigDrive[] = "config-drive.iso";

absl::Status LibvirtError(std::string_view what) {
  return absl::InternalError(fmt::format("{}: {}", what, virGetLastErrorMessage()));
}

absl::Status Run(const std::vector<std::string>& command) {
  CVM_ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("{}: {}", fmt::join(command, " "), result.err));
}

}  // namespace

absl::Status CheckRunning(virConnectPtr connection, const std::string& name) {
  const DomainHandle domain(virDomainLookupByName(connection, name.c_str()));
  int state = VIR_DOMAIN_NOSTATE;
  if (domain == nullptr || virDomainGetState(domain.get(), &state, nullptr, 0) != 0) {
    return LibvirtError(name);
  }
  if (state == VIR_DOMAIN_RUNNING) return absl::OkStatus();
  return absl::InternalError(fmt::format("{} should be running, its state is {}", name, state));
}

absl::StatusOr<ByHand> ByHand::Learn(const Options& options, virConnectPtr connection,
                                     AgentClient& agent) {
  ByHand by_hand(options, connection);
  v1::CreateInstanceRequest request = SmallInstance(options.image_id);
  request.set_instance_id(MakeId(kInstancePrefix, Random::Secure()));
  request.set_start(v1::CreateInstanceRequest::START_NO);
  CVM_RETURN_IF_ERROR(agent.Create(request));
  CVM_ASSIGN_OR_RETURN(const v1::Instance instance, agent.Get(request.instance_id()));
  {
    const DomainHandle domain(virDomainLookupByUUIDString(connection, instance.uuid().c_str()));
    if (domain == nullptr) return LibvirtError(instance.id());
    const TextHandle xml(
        virDomainGetXMLDesc(domain.get(), VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE));
    if (xml == nullptr) return LibvirtError(instance.id());
    by_hand.xml_ = xml.get();
  }
  const agent::Paths paths(options.state_dir);
  by_hand.base_ = paths.Image(options.image_id);
  by_hand.disk_bytes_ = instance.spec().system_disk().size_bytes();
  CVM_ASSIGN_OR_RETURN(
      const std::string iso,
      ReadFile(paths.ConfigDrive(instance.id(), instance.config_drive_generation()), kMaxIsoBytes));
  CVM_RETURN_IF_ERROR(WriteFileAtomically(by_hand.InScratch(kConfigDrive), iso, 0600));
  CVM_RETURN_IF_ERROR(agent.Delete(instance.id()));
  return by_hand;
}

std::string ByHand::InScratch(std::string_view file) const {
  return fmt::format("{}/{}", options_.scratch, file);
}

absl::StatusOr<std::string> ByHand::Prepare() {
  pugi::xml_document document;
  if (!document.load_string(xml_.c_str(), pugi::parse_full)) {
    return absl::InternalError("libvirt gave XML that is none");
  }
  pugi::xml_node domain = document.child("domain");
  Random& random = Random::Secure();
  const std::string name = MakeId("hand", random);
  domain.child("name").text() = name.c_str();
  domain.child("uuid").text() = MakeUuid(random).c_str();
  pugi::xml_node devices = domain.child("devices");
  for (pugi::xml_node disk : devices.children("disk")) {
    const bool is_disk = std::string_view(disk.attribute("device").value()) == "disk";
    if (pugi::xml_attribute file = disk.child("source").attribute("file")) {
      file = InScratch(is_disk ? name + ".qcow2" : kConfigDrive).c_str();
    }
  }
  for (pugi::xml_node nic : devices.children("interface")) {
    nic.child("mac").attribute("address") = MakeMac(random).c_str();
    nic.child("target").attribute("dev") = name.c_str();
  }
  for (pugi::xml_node device : devices.children()) {
    if (pugi::xml_attribute file = device.child("log").attribute("file")) {
      file = InScratch(name + ".log").c_str();
    }
  }
  std::ostringstream text;
  document.save(text);
  if (text.str().find(options_.state_dir) != std::string::npos) {
    return absl::InternalError("the copied XML still names files of the agent: " + text.str());
  }
  CVM_RETURN_IF_ERROR(WriteFileAtomically(InScratch(name + ".xml"), text.str(), 0600));
  return name;
}

absl::Status ByHand::Create(const std::string& name) const {
  CVM_RETURN_IF_ERROR(Run({"qemu-img", "create", "-q", "-f", "qcow2", "-b", base_, "-F", "qcow2",
                           InScratch(name + ".qcow2"), std::to_string(disk_bytes_)}));
  return Run({"virsh", "-q", "-c", options_.libvirt_uri,
              fmt::format("define {}; start {}", InScratch(name + ".xml"), name)});
}

absl::Status ByHand::Remove(const std::string& name) const {
  const DomainHandle domain(virDomainLookupByName(connection_, name.c_str()));
  if (domain == nullptr || virDomainDestroy(domain.get()) != 0 ||
      virDomainUndefine(domain.get()) != 0) {
    return LibvirtError(name);
  }
  for (const char* end : {".qcow2", ".log", ".xml"}) {
    CVM_RETURN_IF_ERROR(RemoveFile(InScratch(name + end)));
  }
  return absl::OkStatus();
}

absl::Status ByHand::RemoveShared() const { return RemoveFile(InScratch(kConfigDrive)); }

}  // namespace cvm::bench
