// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <libvirt/virterror.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/errors.h"

namespace cvm::hypervisor {

// The reason for an error of libvirt: `code` is a virErrorNumber, `source` a virErrorDomain.
ErrorReason ReasonOfLibvirtError(int code, int source);

// `text` with every absolute path replaced by "(path)".
std::string WithoutPaths(std::string_view text);

// `error`, which may be nullptr, as a status. `doing` completes "libvirt could not ...". Logs
// libvirt's own words.
absl::Status LibvirtError(const virError* error, std::string_view doing);
// The error that libvirt last reported on this thread. To be called at once after the call that
// failed: every other call of libvirt, also one that only asks for a name, forgets the error.
absl::Status LastLibvirtError(std::string_view doing);

// The number of that error (VIR_ERR_...), VIR_ERR_OK when there is none.
int LastLibvirtCode();

absl::Status Unavailable(std::string_view why);
// `state` completes "Domain 'x' ...".
absl::Status WrongState(std::string_view name, std::string_view state);
absl::Status DomainNotFound(std::string_view uuid);

}  // namespace cvm::hypervisor
