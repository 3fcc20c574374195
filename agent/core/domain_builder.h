// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "absl/status/statusor.h"
#include "agent/config.h"
#include "agent/paths.h"
#include "agent/store/store.h"
#include "cloudinit/guest_settings.h"
#include "cvm/agent/v1/instance.pb.h"
#include "drivers/hypervisor/domain_spec.h"

namespace cvm::agent::core {

// The hardware of an instance. The instance's networks are in the configuration: submission has
// checked that.
hypervisor::DomainSpec BuildDomain(const Config& config, const Paths& paths,
                                   const v1::Instance& instance);

// The agent's element in the domain's <metadata>: all of the instance from which a lost record can
// be rebuilt, as JSON; without secrets, and without what changes by itself.
std::string MetadataOf(const v1::Instance& instance);

// The instance that MetadataOf() was made of. INTERNAL status when the text is no such thing (ids
// that are malformed included).
absl::StatusOr<v1::Instance> InstanceOf(const std::string& metadata);

// What the guest is told at its first boot.
cloudinit::GuestSettings BuildGuestSettings(const Config& config, const v1::Instance& instance,
                                            const InstanceSecrets& secrets);

}  // namespace cvm::agent::core
