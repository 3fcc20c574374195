// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/instance_spec.h"
#include "cli/login_flags.h"
#include "cli/mutation.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

struct CreateArguments {
  std::string id;
  std::string name;
  std::string description;
  std::string image;
  uint32_t vcpus = 1;
  uint32_t max_vcpus = 0;
  std::string memory;
  std::string max_memory;
  std::string disk;
  std::vector<std::string> data_disks;
  std::string host_name;
  LoginFlags login;
  std::vector<std::string> nics;
  std::string user_data;
  std::vector<std::string> tags;
  std::string owner;
  bool protect = false;
  bool no_start = false;
  MutationFlags flags;
};

absl::Status AddDisks(const CreateArguments& arguments, agent::v1::InstanceSpec* spec) {
  if (!arguments.disk.empty()) {
    const auto bytes = ParseSize(arguments.disk, kGib);
    if (!bytes.ok()) return About("--disk", bytes.status());
    spec->mutable_system_disk()->set_size_bytes(*bytes);
  }
  for (const std::string& text : arguments.data_disks) {
    const auto disk = ParseDataDisk(text);
    if (!disk.ok()) return About("--data-disk", disk.status());
    *spec->add_data_disks() = *disk;
  }
  return absl::OkStatus();
}

absl::StatusOr<agent::v1::CreateInstanceRequest> MakeRequest(const CreateArguments& arguments,
                                                             Session& session) {
  agent::v1::CreateInstanceRequest request;
  ApplyMutationFlags(arguments.flags, &request);
  request.set_instance_id(arguments.id);
  request.set_owner(arguments.owner);
  request.set_start(arguments.no_start ? agent::v1::CreateInstanceRequest::START_NO
                                       : agent::v1::CreateInstanceRequest::START_YES);
  auto* const spec = request.mutable_spec();
  spec->set_name(arguments.name);
  spec->set_description(arguments.description);
  spec->set_image_id(arguments.image);
  spec->set_vcpus(arguments.vcpus);
  spec->set_max_vcpus(arguments.max_vcpus);
  const auto memory = ParseSize(arguments.memory, kMib);
  if (!memory.ok()) return About("--memory", memory.status());
  spec->set_memory_mib(*memory / kMib);
  if (!arguments.max_memory.empty()) {
    const auto max_memory = ParseSize(arguments.max_memory, kMib);
    if (!max_memory.ok()) return About("--max-memory", max_memory.status());
    spec->set_max_memory_mib(*max_memory / kMib);
  }
  spec->set_host_name(arguments.host_name);
  spec->set_termination_protection(arguments.protect);
  CVM_RETURN_IF_ERROR(AddTags(arguments.tags, spec));
  for (const std::string& text : arguments.nics) {
    const auto nic = ParseNic(text);
    if (!nic.ok()) return About("--nic", nic.status());
    *spec->add_nics() = *nic;
  }
  CVM_RETURN_IF_ERROR(AddDisks(arguments, spec));
  CVM_RETURN_IF_ERROR(AddUserData(arguments.user_data, spec));
  CVM_RETURN_IF_ERROR(ApplyLoginFlags(arguments.login, session, spec->mutable_login()));
  return request;
}

int Create(Session& session, const CreateArguments& arguments) {
  const auto request = MakeRequest(arguments, session);
  if (!request.ok()) return session.Fail(request.status());
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());
  return FinishMutation(session, arguments.flags, (*client)->CreateInstance(*request));
}

}  // namespace

void AddInstanceCreate(Command group) {
  const auto arguments = std::make_shared<CreateArguments>();
  Command command = group.Sub("create", "Create an instance, and start it");
  command.Text("--name", &arguments->name, "NAME", "Name for people (default: the id)");
  command.Text("--image", &arguments->image, "IMAGE", "Image to boot (img-...)", true);
  command.Number("--vcpus", &arguments->vcpus, "Virtual processors");
  command.Text("--memory", &arguments->memory, "SIZE", "Memory: MiB, or with K, M, G, T", true);
  command.Number("--max-vcpus", &arguments->max_vcpus,
                 "What the running guest can be grown to (default: the agent's)");
  command.Text("--max-memory", &arguments->max_memory, "SIZE", "Likewise");
  command.Text("--disk", &arguments->disk, "SIZE",
               "System disk: GiB, or with K, M, G, T (default: the agent's)");
  command.Texts("--data-disk", &arguments->data_disks, "SIZE[,id=DISK]",
                "A data disk, likewise; id=VOLUME alone uses a volume again");
  command.Texts("--nic", &arguments->nics, "NIC",
                "network=NAME,ip=ADDRESS,ipv6=ADDRESS/LENGTH,mac=MAC,id=ENI, each part optional");
  command.Text("--host-name", &arguments->host_name, "NAME", "The guest's own (default: the id)");
  AddLoginFlags(command, &arguments->login);
  command.Text("--user-data", &arguments->user_data, "FILE", "What cloud-init runs at first boot");
  command.Texts("--tag", &arguments->tags, "KEY=VALUE", "A tag");
  command.Text("--description", &arguments->description, "TEXT", "Description");
  command.Text("--owner", &arguments->owner, "OWNER", "Free text");
  command.Text("--id", &arguments->id, "INSTANCE", "Id for the instance (made if not given)");
  command.Flag("--protect", &arguments->protect, "Refuse to delete it");
  command.Flag("--no-start", &arguments->no_start, "Do not start it");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) { return Create(session, *arguments); });
}

}  // namespace cvm::cli
