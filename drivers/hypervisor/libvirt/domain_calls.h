// SPDX-License-Identifier: Apache-2.0
//
// The calls of Hypervisor on one connection, without deadlines: they block as long as libvirt does.
// Errors as in hypervisor.h.
#pragma once

#include <libvirt/libvirt.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "drivers/hypervisor/hypervisor.h"
#include "drivers/hypervisor/libvirt/handles.h"

namespace cvm::hypervisor {

absl::StatusOr<DomainHandle> FindDomain(virConnectPtr connection, const std::string& uuid);
absl::StatusOr<std::vector<DomainStatus>> ListDomains(virConnectPtr connection);
absl::StatusOr<DomainStatus> GetDomain(virConnectPtr connection, const std::string& uuid);
absl::Status DefineDomain(virConnectPtr connection, const std::string& xml);
absl::Status StartDomain(virConnectPtr connection, const std::string& uuid);
absl::Status ShutdownDomain(virConnectPtr connection, const std::string& uuid);
absl::Status DestroyDomain(virConnectPtr connection, const std::string& uuid);
absl::Status RebootDomain(virConnectPtr connection, const std::string& uuid);
absl::Status ResetDomain(virConnectPtr connection, const std::string& uuid);
absl::Status UndefineDomain(virConnectPtr connection, const std::string& uuid);
absl::StatusOr<std::string> GetDomainMetadata(virConnectPtr connection, const std::string& uuid);
absl::Status SetDomainMetadata(virConnectPtr connection, const std::string& uuid,
                               const std::string& text);
absl::StatusOr<DomainDefinition> GetDomainDefinition(virConnectPtr connection,
                                                     const std::string& uuid);
absl::StatusOr<uint64_t> GetDiskBytes(virConnectPtr connection, const std::string& uuid,
                                      const std::string& target);
absl::Status SetAutostart(virConnectPtr connection, const std::string& uuid, bool on);
absl::StatusOr<Screenshot> TakeScreenshot(virConnectPtr connection, const std::string& uuid);

}  // namespace cvm::hypervisor
