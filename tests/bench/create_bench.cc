// SPDX-License-Identifier: Apache-2.0
//
// The same guest made in two ways. The other way is what an operator with a finished domain XML
// and a finished config drive would type; neither is counted, nor is the removal of the guest:
//   qemu-img create -f qcow2 -b BASE -F qcow2 DISK SIZE
//   virsh 'define FILE; start NAME'
#include <fmt/format.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <filesystem>
#include <pugixml.hpp>
#include <sstream>

#include "agent/paths.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/ids.h"
#include "common/status_macros.h"
#include "common/subprocess.h"
#include "drivers/hypervisor/libvirt/handles.h"
#include "tests/bench/agent_client.h"
#include "tests/bench/benchmarks.h"
#include "tests/bench/measure.h"

namespace cvm::bench {
namespace {

namespace v1 = agent::v1;
using hypervisor::ConnectHandle;
using hypervisor::DomainHandle;
using hypervisor::TextHandle;

constexpr double kAim = 1.15;
constexpr size_t kMaxIsoBytes = 64 << 20;

absl::Status LibvirtError(std::string_view what) {
  return absl::InternalError(fmt::format("{}: {}", what, virGetLastErrorMessage()));
}

absl::Status Run(const std::vector<std::string>& command) {
  CVM_ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("{}: {}", fmt::join(command, " "), result.err));
}

absl::Status CheckRunning(virConnectPtr connection, const std::string& name) {
  const DomainHandle domain(virDomainLookupByName(connection, name.c_str()));
  int state = VIR_DOMAIN_NOSTATE;
  if (domain == nullptr || virDomainGetState(domain.get(), &state, nullptr, 0) != 0) {
    return LibvirtError(name);
  }
  if (state == VIR_DOMAIN_RUNNING) return absl::OkStatus();
  return absl::InternalError(fmt::format("{} should be running, its state is {}", name, state));
}

// Makes guests by qemu-img and virsh as the agent once made one.
class ByHand {
 public:
  // Takes domain XML and config drive from an instance of the agent's, which it deletes again.
  static absl::StatusOr<ByHand> Learn(const Options& options, virConnectPtr connection,
                                      AgentClient& agent);

  // Until the guest runs.
  absl::StatusOr<absl::Duration> Create();
  absl::Status Remove();
  const std::string& name() const { return name_; }

 private:
  ByHand(const Options& options, virConnectPtr connection)
      : options_(options), connection_(connection) {}

  absl::Status WriteXml();
  std::string InScratch(std::string_view file) const {
    return fmt::format("{}/{}", options_.scratch, file);
  }

  const Options& options_;
  virConnectPtr connection_;
  std::string xml_;
  std::string base_;
  uint64_t disk_bytes_ = 0;
  std::string name_;
};

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
  CVM_RETURN_IF_ERROR(WriteFileAtomically(by_hand.InScratch("config-drive.iso"), iso, 0600));
  CVM_RETURN_IF_ERROR(agent.Delete(instance.id()));
  return by_hand;
}

absl::Status ByHand::WriteXml() {
  pugi::xml_document document;
  if (!document.load_string(xml_.c_str(), pugi::parse_full)) {
    return absl::InternalError("libvirt gave XML that is none");
  }
  pugi::xml_node domain = document.child("domain");
  Random& random = Random::Secure();
  name_ = MakeId("hand", random);
  domain.child("name").text() = name_.c_str();
  domain.child("uuid").text() = MakeUuid(random).c_str();
  pugi::xml_node devices = domain.child("devices");
  for (pugi::xml_node disk : devices.children("disk")) {
    const bool is_disk = std::string_view(disk.attribute("device").value()) == "disk";
    if (pugi::xml_attribute file = disk.child("source").attribute("file")) {
      file = InScratch(is_disk ? "disk.qcow2" : "config-drive.iso").c_str();
    }
  }
  for (pugi::xml_node nic : devices.children("interface")) {
    nic.child("mac").attribute("address") = MakeMac(random).c_str();
    nic.child("target").attribute("dev") = "hand0";
  }
  for (pugi::xml_node device : devices.children()) {
    if (pugi::xml_attribute file = device.child("log").attribute("file")) {
      file = InScratch("console.log").c_str();
    }
  }
  std::ostringstream text;
  document.save(text);
  if (text.str().find(options_.state_dir) != std::string::npos) {
    return absl::InternalError("the copied XML still names files of the agent: " + text.str());
  }
  return WriteFileAtomically(InScratch("domain.xml"), text.str(), 0600);
}

absl::StatusOr<absl::Duration> ByHand::Create() {
  CVM_RETURN_IF_ERROR(WriteXml());
  const absl::Duration start = Clock::Real().Monotonic();
  CVM_RETURN_IF_ERROR(Run({"qemu-img", "create", "-q", "-f", "qcow2", "-b", base_, "-F", "qcow2",
                           InScratch("disk.qcow2"), std::to_string(disk_bytes_)}));
  CVM_RETURN_IF_ERROR(Run({"virsh", "-q", "-c", options_.libvirt_uri,
                           fmt::format("define {}; start {}", InScratch("domain.xml"), name_)}));
  const absl::Duration took = Clock::Real().Monotonic() - start;
  CVM_RETURN_IF_ERROR(CheckRunning(connection_, name_));
  return took;
}

absl::Status ByHand::Remove() {
  const DomainHandle domain(virDomainLookupByName(connection_, name_.c_str()));
  if (domain == nullptr || virDomainDestroy(domain.get()) != 0 ||
      virDomainUndefine(domain.get()) != 0) {
    return LibvirtError(name_);
  }
  for (const char* file : {"disk.qcow2", "console.log", "domain.xml"}) {
    CVM_RETURN_IF_ERROR(RemoveFile(InScratch(file)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status BenchCreate(const Options& options) {
  const ConnectHandle connection(virConnectOpen(options.libvirt_uri.c_str()));
  if (connection == nullptr) return LibvirtError(options.libvirt_uri);
  AgentClient agent(options.socket);
  CVM_ASSIGN_OR_RETURN(ByHand by_hand, ByHand::Learn(options, connection.get(), agent));

  const Measure through_the_agent = [&]() -> absl::StatusOr<Sample> {
    v1::CreateInstanceRequest request = SmallInstance(options.image_id);
    request.set_instance_id(MakeId(kInstancePrefix, Random::Secure()));
    const absl::Duration start = Clock::Real().Monotonic();
    CVM_RETURN_IF_ERROR(agent.Create(request));
    const absl::Duration took = Clock::Real().Monotonic() - start;
    CVM_RETURN_IF_ERROR(CheckRunning(connection.get(), request.instance_id()));
    CVM_RETURN_IF_ERROR(agent.Delete(request.instance_id()));
    return Sample{took};
  };
  const Measure with_virsh = [&]() -> absl::StatusOr<Sample> {
    CVM_ASSIGN_OR_RETURN(const absl::Duration took, by_hand.Create());
    CVM_RETURN_IF_ERROR(by_hand.Remove());
    return Sample{took};
  };
  CVM_ASSIGN_OR_RETURN(const std::vector<Pair> pairs,
                       TakePairs(options.pairs, through_the_agent, with_virsh));
  fmt::print("{}", RatioReport("create_to_running", "qemu-img+virsh", kAim, Summarize(pairs, 0)));
  return RemoveFile(options.scratch + "/config-drive.iso");
}

}  // namespace cvm::bench
