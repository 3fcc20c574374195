// SPDX-License-Identifier: Apache-2.0
//
// `instance reinstall`, `instance rescue` and `instance unrescue`.
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cli/command_line.h"
#include "cli/login_flags.h"
#include "cli/mutation.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "common/status_macros.h"

namespace cvm::cli {
namespace {

struct Arguments {
  std::string id;
  std::string image;
  std::string disk;
  bool keep_image_login = false;
  LoginFlags login;
  bool force_stop = false;
  MutationFlags flags;
};

absl::StatusOr<agent::v1::ReinstallInstanceRequest> ReinstallRequest(const Arguments& arguments,
                                                                     Session& session) {
  agent::v1::ReinstallInstanceRequest request;
  ApplyMutationFlags(arguments.flags, &request);
  request.set_instance_id(arguments.id);
  request.set_image_id(arguments.image);
  request.set_keep_image_login(arguments.keep_image_login);
  request.set_force_stop(arguments.force_stop);
  if (!arguments.disk.empty()) {
    const auto bytes = ParseSize(arguments.disk, kGib);
    if (!bytes.ok()) return About("--disk", bytes.status());
    request.set_system_disk_size_bytes(*bytes);
  }
  CVM_RETURN_IF_ERROR(ApplyLoginFlags(arguments.login, session, request.mutable_login()));
  return request;
}

absl::StatusOr<agent::v1::EnterRescueRequest> RescueRequest(const Arguments& arguments,
                                                            Session& session) {
  agent::v1::EnterRescueRequest request;
  ApplyMutationFlags(arguments.flags, &request);
  request.set_instance_id(arguments.id);
  request.set_force_stop(arguments.force_stop);
  CVM_RETURN_IF_ERROR(ApplyLoginFlags(arguments.login, session, request.mutable_login()));
  return request;
}

absl::StatusOr<agent::v1::ExitRescueRequest> UnrescueRequest(const Arguments& arguments, Session&) {
  agent::v1::ExitRescueRequest request;
  ApplyMutationFlags(arguments.flags, &request);
  request.set_instance_id(arguments.id);
  return request;
}

template <typename Request>
void RunWith(Command command, const std::shared_ptr<Arguments>& arguments,
             absl::StatusOr<Request> (*make)(const Arguments&, Session&),
             absl::StatusOr<agent::v1::Operation> (Client::*call)(const Request&)) {
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments, make, call](Session& session) {
    const absl::StatusOr<Request> request = make(*arguments, session);
    if (!request.ok()) return session.Fail(request.status());
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    return FinishMutation(session, arguments->flags, ((*client)->*call)(*request));
  });
}

}  // namespace

void AddInstanceReinstall(Command group) {
  auto arguments = std::make_shared<Arguments>();
  Command command =
      group.Sub("reinstall", "Make an instance's system disk anew; its data disks stay");
  command.Text("--image", &arguments->image, "IMAGE", "Image to boot (default: the present one)");
  command.Text("--disk", &arguments->disk, "SIZE",
               "System disk: GiB, or with K, M, G, T (default: no smaller than now)");
  AddLoginFlags(command, &arguments->login);
  command.Flag("--keep-image-login", &arguments->keep_image_login,
               "Set neither keys nor password: what the image has");
  command.Flag("--force-stop", &arguments->force_stop, "Cut the power of a running guest first");
  RunWith(command, arguments, ReinstallRequest, &Client::ReinstallInstance);
}

void AddInstanceRescue(Command group) {
  auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("rescue", "Boot the rescue system with an instance's disks attached");
  AddLoginFlags(command, &arguments->login);
  command.Flag("--force-stop", &arguments->force_stop, "Cut the power of a running guest first");
  RunWith(command, arguments, RescueRequest, &Client::EnterRescue);

  arguments = std::make_shared<Arguments>();
  RunWith(group.Sub("unrescue", "Boot an instance's own system again"), arguments, UnrescueRequest,
          &Client::ExitRescue);
}

}  // namespace cvm::cli
