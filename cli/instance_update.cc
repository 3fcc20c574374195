// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cli/command_line.h"
#include "cli/instance_spec.h"
#include "cli/mutation.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

struct UpdateArguments {
  std::string id;
  std::string etag;
  std::string name;
  std::string description;
  std::vector<std::string> tags;
  std::string owner;
  std::string user_data;
  bool protect = false;
  bool unprotect = false;
  std::vector<std::string> clear;
  MutationFlags flags;
};

// What --clear takes, and the path of the field that it empties.
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kClearable = {{
    {"description", "spec.description"},
    {"tags", "spec.tags"},
    {"owner", "owner"},
    {"user-data", "spec.user_data"},
}};

absl::StatusOr<agent::v1::UpdateInstanceRequest> MakeRequest(const UpdateArguments& arguments) {
  agent::v1::UpdateInstanceRequest request;
  ApplyMutationFlags(arguments.flags, &request);
  request.set_instance_id(arguments.id);
  request.set_etag(arguments.etag);
  auto* const spec = request.mutable_spec();
  const auto change = [&](bool given, const char* path) {
    if (given) request.mutable_update_mask()->add_paths(path);
  };
  spec->set_name(arguments.name);
  change(!arguments.name.empty(), "spec.name");
  spec->set_description(arguments.description);
  change(!arguments.description.empty(), "spec.description");
  CVM_RETURN_IF_ERROR(AddTags(arguments.tags, spec));
  change(!arguments.tags.empty(), "spec.tags");
  request.set_owner(arguments.owner);
  change(!arguments.owner.empty(), "owner");
  CVM_RETURN_IF_ERROR(AddUserData(arguments.user_data, spec));
  change(!arguments.user_data.empty(), "spec.user_data");
  if (arguments.protect && arguments.unprotect) {
    return absl::InvalidArgumentError("--protect and --unprotect exclude each other");
  }
  spec->set_termination_protection(arguments.protect);
  change(arguments.protect || arguments.unprotect, "spec.termination_protection");
  for (const std::string& name : arguments.clear) {
    const auto* const found =
        std::find_if(kClearable.begin(), kClearable.end(),
                     [&](const auto& clearable) { return clearable.first == name; });
    if (found == kClearable.end()) {
      return absl::InvalidArgumentError(
          "--clear takes description, tags, owner or user-data, not " + name);
    }
    for (const std::string& path : request.update_mask().paths()) {
      if (path == found->second) {
        return absl::InvalidArgumentError(
            fmt::format("--clear {} and a new value exclude each other", name));
      }
    }
    request.mutable_update_mask()->add_paths(std::string(found->second));
  }
  if (request.update_mask().paths().empty()) {
    return absl::InvalidArgumentError("nothing to change: name what is to be, for example --name");
  }
  return request;
}

int Update(Session& session, const UpdateArguments& arguments) {
  const auto request = MakeRequest(arguments);
  if (!request.ok()) return session.Fail(request.status());
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());
  return FinishMutation(session, arguments.flags, (*client)->UpdateInstance(*request));
}

}  // namespace

void AddInstanceUpdate(Command group) {
  const auto arguments = std::make_shared<UpdateArguments>();
  Command command = group.Sub("update", "Change what is written about an instance");
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  command.Text("--name", &arguments->name, "NAME", "Name for people");
  command.Text("--description", &arguments->description, "TEXT", "Description");
  command.Texts("--tag", &arguments->tags, "KEY=VALUE", "A tag; replaces all there are");
  command.Text("--owner", &arguments->owner, "OWNER", "Free text");
  command.Text("--user-data", &arguments->user_data, "FILE",
               "What cloud-init runs at the next first boot, so after a reinstall");
  command.Flag("--protect", &arguments->protect, "Refuse to delete it");
  command.Flag("--unprotect", &arguments->unprotect, "Allow to delete it");
  command.Texts("--clear", &arguments->clear, "description|tags|owner|user-data", "Empty it");
  command.Text("--etag", &arguments->etag, "ETAG", "Only if the instance still has this etag");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) { return Update(session, *arguments); });
}

}  // namespace cvm::cli
