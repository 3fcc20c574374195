// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/listing.h"
#include "cli/mutation.h"
#include "cli/parse.h"
#include "cli/placement.h"
#include "cli/session.h"
#include "cli/views.h"
#include "common/ids.h"
#include "common/status_macros.h"

namespace cvm::cli {
namespace {

using agent::v1::Operation;

// How long a cancelled import may take to be undone before its file is taken away under it.
constexpr absl::Duration kCleanUpTime = absl::Seconds(20);

struct ImportArguments {
  std::string file;
  std::string id;
  std::string name;
  std::string format;
  std::string cdrom_bus;
  std::string default_user;
  std::string firmware;
  std::string os;
  std::string machine;
  std::string sha256;
  std::string owner;
  std::string import_dir = "/var/lib/cvm/import";
  MutationFlags flags;
};

// Reads `text`, unless it is empty, and sets the field.
template <typename Parse, typename Set>
absl::Status SetIfGiven(std::string_view flag, const std::string& text, Parse parse, Set set) {
  if (text.empty()) return absl::OkStatus();
  const auto value = parse(text);
  if (!value.ok()) return About(flag, value.status());
  set(*value);
  return absl::OkStatus();
}

absl::StatusOr<agent::v1::ImportImageRequest> MakeRequest(const ImportArguments& arguments) {
  agent::v1::ImportImageRequest request;
  auto* const properties = request.mutable_properties();
  CVM_RETURN_IF_ERROR(SetIfGiven("--format", arguments.format, ParseDiskFormat,
                                 [&](auto value) { request.set_format(value); }));
  CVM_RETURN_IF_ERROR(SetIfGiven("--cdrom-bus", arguments.cdrom_bus, ParseCdromBus,
                                 [&](auto value) { properties->set_cdrom_bus(value); }));
  CVM_RETURN_IF_ERROR(SetIfGiven("--firmware", arguments.firmware, ParseFirmware,
                                 [&](auto value) { properties->set_firmware(value); }));
  CVM_RETURN_IF_ERROR(SetIfGiven("--os", arguments.os, ParseOsFamily,
                                 [&](auto value) { properties->set_os_family(value); }));
  CVM_RETURN_IF_ERROR(SetIfGiven("--machine", arguments.machine, ParseMachineFamily,
                                 [&](auto value) { properties->set_machine_family(value); }));
  properties->set_default_user(arguments.default_user);
  request.set_image_id(arguments.id);
  request.set_name(arguments.name);
  request.set_sha256(arguments.sha256);
  request.set_owner(arguments.owner);
  ApplyMutationFlags(arguments.flags, &request);
  return request;
}

absl::StatusOr<Placement> Place(Session& session, const ImportArguments& arguments) {
  const absl::Time began = absl::Now();
  PlacementOptions options;
  options.on_copied = [&](uint64_t done, uint64_t size) {
    session.progress().Update(
        {.title = arguments.file,
         .stage = "copying to the import folder",
         .percent = static_cast<unsigned>(size == 0 ? 100 : done * 100 / size)},
        absl::Now() - began);
    return session.interrupter().signal() == 0 && absl::Now() < session.deadline();
  };
  auto placement = PlaceImage(arguments.file, arguments.import_dir, options, Random::Secure());
  if (absl::IsCancelled(placement.status()) && session.interrupter().signal() == 0) {
    return absl::DeadlineExceededError("the time was over before the file was copied");
  }
  return placement;
}

// The wait for an import of a placed file was cut short: ends the import, whose file is about to
// go.
void CancelImport(Client& client, const std::string& operation_id, Session& session) {
  session.interrupter().Reset();
  client.SetDeadline(absl::Now() + kCleanUpTime);
  session.progress().Note("cancelling " + operation_id);
  agent::v1::CancelOperationRequest request;
  request.set_operation_id(operation_id);
  request.set_request_id(MakeRequestId());
  absl::Status status = client.CancelOperation(request).status();
  if (status.ok()) {
    status = client.WatchOperation(operation_id, [](const Operation& operation) {
      return operation.state() == Operation::OPERATING;
    });
  }
  if (!status.ok()) session.progress().Note(ErrorText(status));
}

int Import(Session& session, const ImportArguments& arguments) {
  auto request = MakeRequest(arguments);
  if (!request.ok()) return session.Fail(request.status());
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());
  auto placement = Place(session, arguments);
  if (!placement.ok()) return session.Fail(placement.status());
  request->set_source_file(placement->source_file);

  const auto started = (*client)->ImportImage(*request);
  if (placement->placed == nullptr) return FinishMutation(session, arguments.flags, started);

  // The agent needs the placed file till the end: wait for it in any case.
  auto outcome = started;
  if (started.ok() && !started->validate_only() && started->state() == Operation::OPERATING) {
    outcome = WaitForOperation(session, started->id());
  }
  const int signal = session.interrupter().signal();
  const bool cut_short =
      signal != 0 || absl::IsDeadlineExceeded(outcome.status()) ||
      (absl::IsUnavailable(outcome.status()) && absl::Now() >= session.deadline());
  if (started.ok() && !outcome.ok() && cut_short) CancelImport(**client, started->id(), session);
  const absl::Status removed = placement->placed->Remove();
  if (!removed.ok()) session.Fail(removed);
  if (!outcome.ok() && signal != 0) return kExitSignal + signal;
  if (!outcome.ok()) return session.Fail(outcome.status());
  const int code = ReportOutcome(session, *outcome);
  return code == kExitOk ? ExitCodeOf(removed) : code;
}

void AddImport(Command group) {
  const auto arguments = std::make_shared<ImportArguments>();
  Command command = group.Sub("import", "Bring an image file into the image store");
  command.Argument("FILE", &arguments->file,
                   "Image file; one outside the import folder is placed there for the time of "
                   "the import");
  command.Text("--name", &arguments->name, "NAME", "Name for people", /*required=*/true);
  command.Text("--format", &arguments->format, "qcow2|raw", "Format of the file",
               /*required=*/true);
  command.Text("--id", &arguments->id, "IMAGE", "Id for the image (made if not given)");
  command.Text("--os", &arguments->os, "linux|windows", "Operating system");
  command.Text("--firmware", &arguments->firmware, "bios|uefi", "Firmware that boots it");
  command.Text("--machine", &arguments->machine, "q35|pc", "Main board");
  command.Text("--cdrom-bus", &arguments->cdrom_bus, "scsi|sata|ide",
               "Bus of the CD-ROM drives that it can drive");
  command.Text("--default-user", &arguments->default_user, "USER",
               "Account that keys and passwords are for");
  command.Text("--sha256", &arguments->sha256, "HEX", "Checksum that the file must have");
  command.Text("--owner", &arguments->owner, "OWNER", "Free text");
  command.Text("--import-dir", &arguments->import_dir, "DIR",
               "The agent's import folder (default: /var/lib/cvm/import)");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) { return Import(session, *arguments); });
}

void AddList(Command group) {
  group.Sub("list", "List the images").Run([](Session& session) {
    return List<agent::v1::ListImagesRequest, agent::v1::ListImagesResponse, agent::v1::Image>(
        session, agent::v1::ListImagesRequest(), &Client::ListImages,
        &agent::v1::ListImagesResponse::mutable_images, 0,
        [&](const auto& list) { return ImagesView(list, session.style()); });
  });
}

void AddGet(Command group) {
  const auto id = std::make_shared<std::string>();
  Command command = group.Sub("get", "Show an image");
  command.Argument("IMAGE", id.get(), "Its id (img-...)");
  command.Run([id](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::GetImageRequest request;
    request.set_image_id(*id);
    const auto image = (*client)->GetImage(request);
    if (!image.ok()) return session.Fail(image.status());
    return session.Print(*image, image->id(), ImageView(*image, session.style()));
  });
}

void AddDelete(Command group) {
  struct Arguments {
    std::string id;
    std::string etag;
    MutationFlags flags;
  };
  const auto arguments = std::make_shared<Arguments>();
  Command command = group.Sub("delete", "Delete an image that no instance is based on");
  command.Argument("IMAGE", &arguments->id, "Its id (img-...)");
  command.Text("--etag", &arguments->etag, "ETAG", "Only if the image still has this etag");
  AddMutationFlags(command, &arguments->flags);
  command.Run([arguments](Session& session) {
    const auto client = session.client();
    if (!client.ok()) return session.Fail(client.status());
    agent::v1::DeleteImageRequest request;
    request.set_image_id(arguments->id);
    request.set_etag(arguments->etag);
    ApplyMutationFlags(arguments->flags, &request);
    return FinishMutation(session, arguments->flags, (*client)->DeleteImage(request));
  });
}

}  // namespace

void AddImageCommands(Command root) {
  Command group = root.Sub("image", "Images that instances are made from");
  AddImport(group);
  AddList(group);
  AddGet(group);
  AddDelete(group);
}

}  // namespace cvm::cli
