// SPDX-License-Identifier: Apache-2.0
#include "agent/core/rebuild.h"

#include "agent/core/event_log.h"
#include "agent/core/power_monitor.h"
#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::core {
namespace {

// What can be told of the image that the instance was made from.
std::optional<v1::Image> ImageOf(const Core& core, const v1::Instance& instance) {
  const std::string& id = instance.spec().image_id();
  if (!IsId(kImagePrefix, id) || core.ledger.images().Find(id)) return std::nullopt;
  const absl::StatusOr<images::ImageInfo> info = core.disk_images.Inspect(core.paths.Image(id));
  if (!info.ok()) {
    CVM_LOG_WARNING("the record of image {} cannot be rebuilt: {}", id,
                    std::string(info.status().message()));
    return std::nullopt;
  }
  v1::Image image;
  image.set_id(id);
  image.set_name(id);
  image.set_state(v1::Image::READY);
  // The instance's own were copied from the image, where it did not say otherwise.
  *image.mutable_properties() = instance.spec().properties();
  image.set_virtual_size_bytes(info->virtual_size_bytes);
  image.set_stored_size_bytes(info->stored_size_bytes);
  image.set_etag(id.substr(id.find('-') + 1));
  *image.mutable_create_time() = ToTimestamp(core.clock.Now());
  return image;
}

}  // namespace

absl::Status RebuildInstance(const Core& core, const LostInstance& lost) {
  v1::Instance instance = lost.instance;
  const bool on = lost.domain.state != hypervisor::PowerState::kStopped;
  if (instance.lifecycle() != v1::LIFECYCLE_RECYCLED) {
    instance.set_lifecycle(v1::LIFECYCLE_PRESENT);
  }
  instance.set_wanted_power(on ? v1::WANTED_POWER_ON : v1::WANTED_POWER_OFF);
  // An adopted one has no config drive.
  if (instance.config_drive_generation() == 0 && !instance.adopted()) {
    instance.set_config_drive_generation(1);
  }
  instance.mutable_observed_power()->set_state(v1::ObservedPower::UNKNOWN);
  instance.mutable_observed_power()->set_reason("record-rebuilt");
  *instance.mutable_observed_power()->mutable_observed_at() = ToTimestamp(core.clock.Now());
  std::optional<v1::Image> image = instance.adopted() ? std::nullopt : ImageOf(core, instance);

  LedgerChange change;
  change.new_instances.push_back(instance);
  if (image) change.put_images.push_back(*image);
  const absl::Status written = core.ledger.Commit(change);
  // Made meanwhile under the same id: the next comparison says what the domain then is.
  if (ReasonOf(written) == ErrorReason::ERROR_REASON_INSTANCE_EXISTS) return absl::OkStatus();
  CVM_RETURN_IF_ERROR(written);
  v1::HostEvent event;
  event.set_kind(v1::HostEvent::INSTANCE_REBUILT);
  event.set_instance_id(instance.id());
  event.set_domain_uuid(instance.uuid());
  event.set_domain_name(lost.domain.name);
  event.set_message(
      fmt::format("the record of {} was rebuilt from its domain's metadata", instance.id()));
  core.events.Add(std::move(event));
  if (image) {
    v1::HostEvent of_image;
    of_image.set_kind(v1::HostEvent::IMAGE_REBUILT);
    of_image.set_message(fmt::format("the record of image {} was rebuilt from its file and from {}",
                                     image->id(), instance.id()));
    core.events.Add(std::move(of_image));
  }
  // Into the record by the way that every observation takes.
  return core.power.Refresh(core.hypervisor, instance.uuid());
}

}  // namespace cvm::agent::core
