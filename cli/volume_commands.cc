// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/listing.h"
#include "cli/mutation.h"
#include "cli/session.h"
#include "cli/views.h"

namespace cvm::cli {
namespace {

void AddList(Command group) {
  const auto owner = std::make_shared<std::string>();
  Command command = group.Sub("list", "List the volumes");
  command.Text("--owner", owner.get(), "OWNER", "Only this owner's");
  command.Run([owner](Session& session) {
    agent::v1::ListVolumesRequest request;
    request.set_owner(*owner);
    return List<agent::v1::ListVolumesRequest, agent::v1::ListVolumesResponse, agent::v1::Volume>(
        session, request, &Client::ListVolumes, &agent::v1::ListVolumesResponse::mutable_volumes, 0,
        [&](const auto& list) { return VolumesView(list, session.style()); });
  });
}

void AddGet(Command group) {
  const auto id = std::make_shared<std::string>();
  Command command = group.Sub("get", "Show a volume");
  command.Argument("VOLUME", id.get(), "Its id (disk-...)");
  command.Run([id](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::GetVolumeRequest request;
    request.set_volume_id(*id);
    const auto volume = (*client)->GetVolume(request);
    if (!volume.ok()) return session.Fail(volume.status());
    return session.Print(*volume, volume->id(), VolumeView(*volume, session.style()));
  });
}

void AddDelete(Command group) {
  struct Arguments {
    std::string id;
    std::string etag;
    MutationFlags flags;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("delete", "Delete a volume with all that is on it");
  command.Argument("VOLUME", &arguments->id, "Its id (disk-...)");
  command.Text("--etag", &arguments->etag, "ETAG", "Only if the volume still has this etag");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::DeleteVolumeRequest request;
    request.set_volume_id(arguments->id);
    request.set_etag(arguments->etag);
    ApplyMutationFlags(arguments->flags, &request);
    return FinishMutation(session, arguments->flags, (*client)->DeleteVolume(request));
  });
}

}  // namespace

void AddVolumeCommands(Command root) {
  Command group = root.Sub("volume", "Data disks that were kept of deleted instances");
  AddList(group);
  AddGet(group);
  AddDelete(group);
}

}  // namespace cvm::cli
