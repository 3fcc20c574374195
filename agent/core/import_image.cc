// SPDX-License-Identifier: Apache-2.0
//
// ImportImage: look at the file, copy it into the image store, say what it is.
#include <unistd.h>

#include <cerrno>

#include "agent/core/workflows.h"
#include "common/errors.h"
#include "common/file.h"
#include "common/hmac.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

constexpr uint64_t kGib = uint64_t{1} << 30;

images::Format FormatOf(v1::DiskFormat format) {
  return format == v1::DISK_FORMAT_RAW ? images::Format::kRaw : images::Format::kQcow2;
}

absl::StatusOr<StepResult> Import(const Core& core, const v1::ImportImageRequest& request,
                                  StepContext& context) {
  const std::string& id = request.image_id();
  const uint64_t limit = static_cast<uint64_t>(core.config.limits.max_image_gib) * kGib;
  // One descriptor from the first look to the last byte: the name may come to mean another file.
  CVM_ASSIGN_OR_RETURN(const UniqueFd source,
                       OpenBeneath(core.config.import_dir, request.source_file()));
  const images::Format format = FormatOf(request.format());
  CVM_RETURN_IF_ERROR(core.disk_images.InspectForeign(source.get(), format, limit).status());
  CVM_ASSIGN_OR_RETURN(const std::string sha256,
                       Sha256OfFd(source.get(), [&context] { return context.Cancelled(); }));
  if (!request.sha256().empty() && sha256 != request.sha256()) {
    return Error(ErrorReason::ERROR_REASON_CHECKSUM_MISMATCH,
                 fmt::format("{} has SHA-256 {}, not the one given", request.source_file(), sha256),
                 {{"field", "sha256"}});
  }
  context.Progress(0.1);

  const std::string partial = core.paths.PartialImage(id);
  CVM_RETURN_IF_ERROR(RemoveFile(partial));
  CVM_RETURN_IF_ERROR(core.disk_images.Convert(
      {.source_fd = source.get(),
       .source_format = format,
       .target_path = partial,
       .max_virtual_size_bytes = limit,
       .cancelled = [&context] { return context.Cancelled(); },
       .progress = [&context](double fraction) { context.Progress(0.1 + 0.9 * fraction); }}));
  CVM_ASSIGN_OR_RETURN(const images::ImageInfo info, core.disk_images.Inspect(partial));
  if (rename(partial.c_str(), core.paths.Image(id).c_str()) != 0) {
    return FileError(errno, "replace", core.paths.Image(id));
  }
  CVM_RETURN_IF_ERROR(SyncFolderOf(partial));

  std::optional<v1::Image> image = core.ledger.images().Find(id);
  if (!image) return Error(ErrorReason::ERROR_REASON_INTERNAL, "the image's record is gone");
  image->set_state(v1::Image::READY);
  image->set_sha256(sha256);
  image->set_virtual_size_bytes(info.virtual_size_bytes);
  image->set_stored_size_bytes(info.stored_size_bytes);
  context.change().put_images.push_back(*std::move(image));
  return StepResult::Done();
}

}  // namespace

Workflow ImportImageWorkflow(const Core& core, const v1::ImportImageRequest& request) {
  Workflow workflow;
  workflow.steps.push_back({
      .name = "copying the image",
      .percent = 100,
      .run = [&core, request](StepContext& context) { return Import(core, request, context); },
      .undo = [&core, id = request.image_id()](StepContext&) -> absl::Status {
        CVM_RETURN_IF_ERROR(RemoveFile(core.paths.PartialImage(id)));
        return RemoveFile(core.paths.Image(id));
      },
  });
  workflow.on_failed = [id = request.image_id()](LedgerChange& change) {
    change.erase_images.push_back(id);
  };
  return workflow;
}

}  // namespace cvm::agent::core
