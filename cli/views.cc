// SPDX-License-Identifier: Apache-2.0
#include "cli/views.h"

#include <cctype>
#include <map>
#include <vector>

#include "cli/output.h"
#include "common/clock.h"
#include "common/errors.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

using agent::v1::Host;
using agent::v1::Image;
using agent::v1::Instance;
using agent::v1::InstanceEvent;
using agent::v1::Operation;

// The enum's own name without its prefix; "-" for the unspecified one and the number for one that
// is newer than this program.
template <typename Enum>
std::string EnumWord(Enum value, const std::string& name, std::string_view prefix = "") {
  if (static_cast<int>(value) == 0) return "-";
  if (name.empty()) return std::to_string(static_cast<int>(value));
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

Tone ToneOf(agent::v1::InstanceState state) {
  switch (state) {
    case agent::v1::RUNNING:
      return Tone::kGood;
    case agent::v1::LAUNCH_FAILED:
    case agent::v1::UNKNOWN:
      return Tone::kBad;
    case agent::v1::STOPPED:
    case agent::v1::SHUTDOWN:
    case agent::v1::INSTANCE_STATE_UNSPECIFIED:
      return Tone::kPlain;
    default:
      return Tone::kBusy;
  }
}

Tone ToneOf(Operation::State state) {
  switch (state) {
    case Operation::SUCCESS:
      return Tone::kGood;
    case Operation::FAILED:
      return Tone::kBad;
    case Operation::OPERATING:
      return Tone::kBusy;
    default:
      return Tone::kPlain;
  }
}

std::string Join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string AddressesOf(const Instance& instance) {
  std::vector<std::string> addresses;
  for (const auto& nic : instance.spec().nics()) {
    if (!nic.ipv4_address().empty()) addresses.push_back(nic.ipv4_address());
    for (const auto& address : nic.ipv6_addresses()) addresses.push_back(address);
  }
  return Join(addresses, ",");
}

std::string Elapsed(const Operation& operation) {
  return HumanDuration(FromProtoDuration(operation.elapsed()));
}

std::string ErrorOf(const Operation& operation) {
  if (!operation.has_error()) return "";
  const absl::Status status = FromProto(operation.error());
  return fmt::format("{}: {}", ReasonOfError(status), std::string(status.message()));
}

std::string StageOf(const Operation& operation) {
  if (operation.state() == Operation::FAILED) return ErrorOf(operation);
  const std::string note = operation.undoing()            ? " (undoing)"
                           : operation.cancel_requested() ? " (cancel asked)"
                                                          : "";
  return operation.stage() + note;
}

// Collects "NAME  value" rows; a part without a value is left out.
class Details {
 public:
  explicit Details(const ViewStyle& style) : style_(style) {}
  void Add(const std::string& name, const std::string& value, Tone tone = Tone::kPlain) {
    if (value.empty() || value == "-") return;
    table_.AddRow({name, value});
    table_.SetTone(1, tone);
  }
  void AddTime(const std::string& name, const google::protobuf::Timestamp& time) {
    Add(name, HumanTime(time, style_.zone));
  }
  std::string Render() const { return table_.Render(style_.colour); }

 private:
  const ViewStyle& style_;
  Table table_{std::vector<std::string>{}};
};

std::string PowerOf(const agent::v1::ObservedPower& power, const ViewStyle& style) {
  const auto word = [](agent::v1::ObservedPower::State state) {
    return EnumWord(state, agent::v1::ObservedPower::State_Name(state));
  };
  std::string text = word(power.state());
  if (power.state() == agent::v1::ObservedPower::UNKNOWN) {
    return fmt::format("{} since {}, last known {}", text,
                       HumanTime(power.observed_at(), style.zone), word(power.last_known()));
  }
  if (!power.reason().empty()) text += fmt::format(" ({})", power.reason());
  return text;
}

void AddProperties(const agent::v1::GuestProperties& properties, Details* details) {
  details->Add("OS", EnumWord(properties.os_family(),
                              agent::v1::OsFamily_Name(properties.os_family()), "OS_FAMILY_"));
  details->Add("Firmware", EnumWord(properties.firmware(),
                                    agent::v1::Firmware_Name(properties.firmware()), "FIRMWARE_"));
  details->Add("CD-ROM bus",
               EnumWord(properties.cdrom_bus(), agent::v1::CdromBus_Name(properties.cdrom_bus()),
                        "CDROM_BUS_"));
  details->Add("Machine", EnumWord(properties.machine_family(),
                                   agent::v1::MachineFamily_Name(properties.machine_family()),
                                   "MACHINE_FAMILY_"));
  details->Add("Default user", properties.default_user());
}

std::string ImageStateWord(Image::State state) { return EnumWord(state, Image::State_Name(state)); }

Tone ToneOf(Image::State state) {
  return state == Image::READY ? Tone::kGood : state == 0 ? Tone::kPlain : Tone::kBusy;
}

}  // namespace

std::string Word(agent::v1::InstanceState state) {
  return EnumWord(state, agent::v1::InstanceState_Name(state));
}
std::string Word(Operation::State state) { return EnumWord(state, Operation::State_Name(state)); }
std::string Word(Operation::Action action) {
  return EnumWord(action, Operation::Action_Name(action));
}

std::string InstancesView(const agent::v1::ListInstancesResponse& list, const ViewStyle& style) {
  Table table({"ID", "NAME", "STATE", "VCPUS", "MEMORY", "DISK", "ADDRESS", "IMAGE", "CREATED"});
  for (const Instance& instance : list.instances()) {
    const auto& spec = instance.spec();
    table.AddRow({instance.id(), spec.name(), Word(instance.state()), std::to_string(spec.vcpus()),
                  HumanBytes(spec.memory_mib() << 20), HumanBytes(spec.system_disk().size_bytes()),
                  AddressesOf(instance), spec.image_id(),
                  HumanTime(instance.create_time(), style.zone)});
    table.SetTone(2, ToneOf(instance.state()));
  }
  return table.Render(style.colour);
}

std::string InstanceView(const Instance& instance, const ViewStyle& style) {
  const auto& spec = instance.spec();
  Details details(style);
  details.Add("ID", instance.id());
  details.Add("Name", spec.name());
  details.Add("Description", spec.description());
  details.Add("State", Word(instance.state()), ToneOf(instance.state()));
  if (instance.has_observed_power()) {
    details.Add("Power", PowerOf(instance.observed_power(), style));
  }
  details.Add("Host name", spec.host_name());
  details.Add("Image", spec.image_id());
  details.Add("vCPUs", std::to_string(spec.vcpus()));
  details.Add("Memory", HumanBytes(spec.memory_mib() << 20));
  details.Add("System disk", fmt::format("{} {}", spec.system_disk().id(),
                                         HumanBytes(spec.system_disk().size_bytes())));
  for (const auto& disk : spec.data_disks()) {
    details.Add("Data disk", fmt::format("{} {}", disk.id(), HumanBytes(disk.size_bytes())));
  }
  for (const auto& nic : spec.nics()) {
    std::vector<std::string> parts = {nic.id(), nic.network_id(), nic.mac(), nic.ipv4_address()};
    parts.insert(parts.end(), nic.ipv6_addresses().begin(), nic.ipv6_addresses().end());
    std::erase(parts, "");
    details.Add("NIC", Join(parts, " "));
  }
  AddProperties(spec.properties(), &details);
  details.Add("Machine type", spec.machine_type());
  // A map of protobuf has no order of its own.
  for (const auto& [key, value] : std::map(spec.tags().begin(), spec.tags().end())) {
    details.Add("Tag", fmt::format("{}={}", key, value));
  }
  details.Add("Owner", instance.owner());
  if (spec.termination_protection()) details.Add("Protected", "yes");
  details.AddTime("Created", instance.create_time());
  if (instance.has_recycle()) {
    const absl::Duration left = FromProtoDuration(instance.recycle().length()) -
                                FromProtoDuration(instance.recycle().elapsed());
    details.Add("Deleted in", absl::FormatDuration(left));
  }
  details.Add("UUID", instance.uuid());
  details.Add("Etag", instance.etag());
  if (instance.has_latest_operation()) {
    const Operation& operation = instance.latest_operation();
    details.Add(
        "Operation",
        fmt::format("{} {} {}", operation.id(), Word(operation.action()), Word(operation.state())),
        ToneOf(operation.state()));
    details.Add("Stage", StageOf(operation));
  }
  for (const auto& denied : instance.denied_actions()) {
    details.Add("Refused", fmt::format("{} ({})", Word(denied.action()), denied.reason()));
  }
  return details.Render();
}

std::string InstanceEventLine(const InstanceEvent& event, absl::Time now, const ViewStyle& style) {
  const Instance& instance = event.instance();
  std::string line = fmt::format("{}  {:<7}", absl::FormatTime("%H:%M:%S", now, style.zone),
                                 EnumWord(event.kind(), InstanceEvent::Kind_Name(event.kind())));
  if (!instance.id().empty()) line += "  " + instance.id();
  if (event.kind() == InstanceEvent::CHANGED) {
    line += fmt::format("  {:<13}  {}", Word(instance.state()), instance.spec().name());
    if (instance.latest_operation().state() == Operation::OPERATING) {
      line +=
          fmt::format("  [{} {}%: {}]", Word(instance.latest_operation().action()),
                      instance.latest_operation().percent(), StageOf(instance.latest_operation()));
    }
  }
  return Printable(line);
}

std::string ImagesView(const agent::v1::ListImagesResponse& list, const ViewStyle& style) {
  Table table({"ID", "NAME", "STATE", "SIZE", "STORED", "INSTANCES", "CREATED"});
  for (const Image& image : list.images()) {
    table.AddRow({image.id(), image.name(), ImageStateWord(image.state()),
                  HumanBytes(image.virtual_size_bytes()), HumanBytes(image.stored_size_bytes()),
                  std::to_string(image.instance_count()),
                  HumanTime(image.create_time(), style.zone)});
    table.SetTone(2, ToneOf(image.state()));
  }
  return table.Render(style.colour);
}

std::string ImageView(const Image& image, const ViewStyle& style) {
  Details details(style);
  details.Add("ID", image.id());
  details.Add("Name", image.name());
  details.Add("State", ImageStateWord(image.state()), ToneOf(image.state()));
  details.Add("Size", HumanBytes(image.virtual_size_bytes()));
  details.Add("Stored", HumanBytes(image.stored_size_bytes()));
  details.Add("Source format",
              EnumWord(image.source_format(), agent::v1::DiskFormat_Name(image.source_format()),
                       "DISK_FORMAT_"));
  details.Add("SHA-256", image.sha256());
  AddProperties(image.properties(), &details);
  details.Add("Instances", std::to_string(image.instance_count()));
  details.Add("Owner", image.owner());
  details.AddTime("Created", image.create_time());
  details.Add("Etag", image.etag());
  return details.Render();
}

std::string OperationsView(const agent::v1::ListOperationsResponse& list, const ViewStyle& style) {
  Table table({"ID", "ACTION", "TARGET", "STATE", "DONE", "ELAPSED", "STARTED", "STAGE"});
  for (const Operation& operation : list.operations()) {
    table.AddRow({operation.id(), Word(operation.action()), operation.target_id(),
                  Word(operation.state()), fmt::format("{}%", operation.percent()),
                  Elapsed(operation), HumanTime(operation.create_time(), style.zone),
                  StageOf(operation)});
    table.SetTone(3, ToneOf(operation.state()));
  }
  return table.Render(style.colour);
}

std::string OperationView(const Operation& operation, const ViewStyle& style) {
  Details details(style);
  details.Add("ID", operation.id());
  details.Add("Action", Word(operation.action()));
  details.Add("Target", operation.target_id());
  details.Add("State", Word(operation.state()), ToneOf(operation.state()));
  details.Add("Stage", operation.stage());
  details.Add("Done", fmt::format("{}%", operation.percent()));
  if (operation.undoing()) details.Add("Undone", "yes");
  if (operation.cancel_requested()) details.Add("Cancel asked", "yes");
  details.Add("Error", ErrorOf(operation), Tone::kBad);
  details.Add("Request id", operation.request_id());
  details.AddTime("Started", operation.create_time());
  details.AddTime("Ended", operation.end_time());
  details.Add("Elapsed", Elapsed(operation));
  return details.Render();
}

std::string StartedOperationView(const Operation& operation, const ViewStyle& style) {
  if (operation.validate_only()) {
    return fmt::format("Dry run: {} would be accepted; nothing was done.\n",
                       Word(operation.action()));
  }
  Table table({"OPERATION", "ACTION", "TARGET", "STATE", "ELAPSED"});
  table.AddRow({operation.id(), Word(operation.action()), operation.target_id(),
                Word(operation.state()), Elapsed(operation)});
  table.SetTone(3, ToneOf(operation.state()));
  return table.Render(style.colour);
}

std::string OperationLine(const Operation& operation) {
  return Printable(fmt::format("{}  {:<9}  {:>3}%  {:>5}  {}", operation.id(),
                               Word(operation.state()), operation.percent(), Elapsed(operation),
                               StageOf(operation)));
}

std::string HostView(const Host& host, const ViewStyle& style) {
  Details details(style);
  const auto& hypervisor = host.hypervisor();
  const auto& capacity = host.capacity();
  details.Add("Host", host.host_name());
  details.Add("Agent", host.agent_version());
  details.AddTime("Agent started", host.agent_start_time());
  details.Add("Architecture", host.architecture());
  details.Add("Acceleration",
              EnumWord(host.acceleration(), Host::Acceleration_Name(host.acceleration())));
  details.Add("Hypervisor",
              fmt::format("{} since {}", hypervisor.connected() ? "connected" : "not connected",
                          HumanTime(hypervisor.since(), style.zone)),
              hypervisor.connected() ? Tone::kGood : Tone::kBad);
  details.Add("Reason", hypervisor.message());
  details.Add("libvirt", hypervisor.libvirt_version());
  details.Add("QEMU", hypervisor.qemu_version());
  details.Add("Instances",
              fmt::format("{}, {} running", host.instances_total(), host.instances_running()));
  details.Add("vCPUs", fmt::format("{} of {} allocated", capacity.vcpus_allocated(),
                                   capacity.vcpus_total()));
  details.Add("Memory", fmt::format("{} of {} allocated, {} reserved",
                                    HumanBytes(capacity.memory_allocated_mib() << 20),
                                    HumanBytes(capacity.memory_total_mib() << 20),
                                    HumanBytes(capacity.memory_reserved_mib() << 20)));
  details.Add("Disk", fmt::format("{} of {} allocated, {} reserved, {} free",
                                  HumanBytes(capacity.disk_allocated_bytes()),
                                  HumanBytes(capacity.disk_total_bytes()),
                                  HumanBytes(capacity.disk_reserved_bytes()),
                                  HumanBytes(capacity.disk_free_bytes())));
  std::string text = details.Render();
  if (host.networks_size() == 0) return text;
  Table table({"NETWORK", "BRIDGE", "SUBNET", "GATEWAY", "ADDRESSES", "STATE"});
  for (const auto& network : host.networks()) {
    table.AddRow({network.id(), network.bridge(), network.subnet(), network.gateway(),
                  fmt::format("{} in use", network.addresses_in_use()),
                  network.present() ? "present" : "missing"});
    table.SetTone(5, network.present() ? Tone::kGood : Tone::kBad);
  }
  return text + "\n" + table.Render(style.colour);
}

std::string FindingsView(const agent::v1::CheckHostResponse& found, const ViewStyle& style) {
  if (found.findings_size() == 0) return "Nothing found: the host is as the records say.\n";
  Table table({"KIND", "OBJECT", "REPAIR", "WHAT"});
  for (const auto& finding : found.findings()) {
    table.AddRow({EnumWord(finding.kind(), agent::v1::Finding::Kind_Name(finding.kind())),
                  finding.object(), finding.repairable() ? "yes" : "no", finding.message()});
  }
  return table.Render(style.colour);
}

std::string HostEventLine(const agent::v1::HostEvent& event, const ViewStyle& style) {
  std::string what = EnumWord(event.kind(), agent::v1::HostEvent::Kind_Name(event.kind()));
  if (event.finding() != agent::v1::Finding::KIND_UNSPECIFIED) {
    what += " " + EnumWord(event.finding(), agent::v1::Finding::Kind_Name(event.finding()));
  }
  return fmt::format("{}  {}  {}", HumanTime(event.time(), style.zone), what, event.message());
}

}  // namespace cvm::cli
