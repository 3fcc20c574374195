// SPDX-License-Identifier: Apache-2.0
#include "agent/core/image_manager.h"

#include <algorithm>

#include "agent/core/image_uses.h"
#include "agent/core/import_folder.h"
#include "agent/core/paging.h"
#include "agent/core/validation.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

using v1::Operation;

void FillDefaults(v1::GuestProperties& properties) {
  if (properties.os_family() == v1::OS_FAMILY_UNSPECIFIED) {
    properties.set_os_family(v1::OS_FAMILY_LINUX);
  }
  const bool windows = properties.os_family() == v1::OS_FAMILY_WINDOWS;
  if (properties.firmware() == v1::FIRMWARE_UNSPECIFIED) {
    properties.set_firmware(v1::FIRMWARE_BIOS);
  }
  if (properties.machine_family() == v1::MACHINE_FAMILY_UNSPECIFIED) {
    properties.set_machine_family(v1::MACHINE_FAMILY_Q35);
  }
  if (properties.cdrom_bus() == v1::CDROM_BUS_UNSPECIFIED) {
    const bool pc = properties.machine_family() == v1::MACHINE_FAMILY_PC;
    properties.set_cdrom_bus(!windows ? v1::CDROM_BUS_SCSI
                             : pc     ? v1::CDROM_BUS_IDE
                                      : v1::CDROM_BUS_SATA);
  }
  if (properties.default_user().empty()) {
    properties.set_default_user(windows ? "Administrator" : "root");
  }
}

void FillCount(const ImageUses& uses, v1::Image& image) {
  const auto found = uses.find(image.id());
  image.set_instance_count(found == uses.end() ? 0 : static_cast<uint32_t>(found->second.size()));
}

}  // namespace

absl::StatusOr<Operation> ImageManager::Import(const Caller& caller,
                                               const v1::ImportImageRequest& request) {
  return engine_.Submit(caller, request, request.request_id(), request.validate_only(),
                        [&] { return PlanImport(request); });
}

absl::StatusOr<Plan> ImageManager::PlanImport(v1::ImportImageRequest request) const {
  CVM_RETURN_IF_ERROR(ValidateImport(request));
  CVM_RETURN_IF_ERROR(
      OpenSource(core_.config.import_dir, request.source_file(), "source_file").status());
  const ImageTable& images = core_.ledger.images();
  if (request.image_id().empty()) {
    do {
      request.set_image_id(MakeId(kImagePrefix, core_.random));
    } while (images.Find(request.image_id()));
  } else if (images.Find(request.image_id())) {
    return Error(ErrorReason::ERROR_REASON_IMAGE_EXISTS,
                 fmt::format("there is an image {} already", request.image_id()),
                 {{"image_id", request.image_id()}});
  }
  FillDefaults(*request.mutable_properties());
  std::string& sha256 = *request.mutable_sha256();
  std::transform(sha256.begin(), sha256.end(), sha256.begin(),
                 [](unsigned char c) { return tolower(c); });

  v1::Image image;
  image.set_id(request.image_id());
  image.set_name(request.name());
  image.set_state(v1::Image::IMPORTING);
  *image.mutable_properties() = request.properties();
  image.set_source_format(request.format());
  *image.mutable_create_time() = ToTimestamp(core_.clock.Now());
  image.set_owner(request.owner());
  // An image does not change once it is there.
  image.set_etag(request.image_id().substr(request.image_id().find('-') + 1));

  Plan plan;
  plan.action = Operation::IMPORT_IMAGE;
  plan.target_id = request.image_id();
  plan.change.put_images.push_back(std::move(image));
  plan.request = std::make_unique<v1::ImportImageRequest>(std::move(request));
  return plan;
}

absl::StatusOr<Operation> ImageManager::Delete(const Caller& caller,
                                               const v1::DeleteImageRequest& request) {
  return engine_.Submit(
      caller, request, request.request_id(), request.validate_only(),
      [&]() -> absl::StatusOr<Plan> {
        CVM_ASSIGN_OR_RETURN(v1::Image image, Get(request.image_id()));
        if (!request.etag().empty() && request.etag() != image.etag()) {
          return Error(ErrorReason::ERROR_REASON_ETAG_MISMATCH,
                       "it has changed since the etag was read: read it again",
                       {{"field", "etag"}});
        }
        if (image.instance_count() > 0) {
          return Error(ErrorReason::ERROR_REASON_IMAGE_IN_USE,
                       fmt::format("{} instances have disks based on image {}: delete them first",
                                   image.instance_count(), image.id()),
                       {{"image_id", image.id()}});
        }
        Plan plan;
        plan.action = Operation::DELETE_IMAGE;
        plan.target_id = image.id();
        plan.request = std::make_unique<v1::DeleteImageRequest>(request);
        if (image.state() == v1::Image::READY) {
          // From here no instance can be made from it.
          image.set_state(v1::Image::DELETING);
          image.clear_instance_count();
          plan.change.put_images.push_back(std::move(image));
        }
        return plan;
      });
}

absl::StatusOr<v1::Image> ImageManager::Get(const std::string& id) const {
  CVM_RETURN_IF_ERROR(CheckId("image_id", kImagePrefix, id));
  std::optional<v1::Image> image = core_.ledger.images().Find(id);
  if (!image) {
    return Error(ErrorReason::ERROR_REASON_IMAGE_NOT_FOUND,
                 fmt::format("there is no image {} on this host", id), {{"image_id", id}});
  }
  CVM_ASSIGN_OR_RETURN(const ImageUses uses, FindImageUses(core_));
  FillCount(uses, *image);
  return *std::move(image);
}

absl::StatusOr<v1::ListImagesResponse> ImageManager::List(
    const v1::ListImagesRequest& request) const {
  CVM_ASSIGN_OR_RETURN(const size_t size, PageSize(request.page_size()));
  CVM_ASSIGN_OR_RETURN(std::string after, ParsePageToken(request.page_token()));
  std::vector<v1::Image> page = core_.ledger.images().List(after, size + 1);
  CVM_ASSIGN_OR_RETURN(const ImageUses uses, FindImageUses(core_));
  v1::ListImagesResponse response;
  const bool more = page.size() > size;
  if (more) page.pop_back();
  if (more) response.set_next_page_token(MakePageToken(page.back().id()));
  for (v1::Image& image : page) {
    FillCount(uses, image);
    *response.add_images() = std::move(image);
  }
  return response;
}

}  // namespace cvm::agent::core
