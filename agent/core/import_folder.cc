// SPDX-License-Identifier: Apache-2.0
#include "agent/core/import_folder.h"

#include "common/errors.h"
#include "common/log.h"

namespace cvm::agent::core {

absl::StatusOr<UniqueFd> OpenSource(const std::string& folder, const std::string& file,
                                    std::string_view field) {
  absl::StatusOr<UniqueFd> fd = OpenBeneath(folder, file);
  switch (ReasonOf(fd.status())) {
    case ErrorReason::ERROR_REASON_UNSPECIFIED:
      if (fd.ok()) return fd;
      // The message names a path of the host.
      CVM_LOG_ERROR("cannot look at a file of the import folder: {}",
                    std::string(fd.status().message()));
      return Error(ErrorReason::ERROR_REASON_INTERNAL,
                   "the agent cannot look into its import folder: its log says why");
    case ErrorReason::ERROR_REASON_INVALID_FIELD:
      // Under the name that the field has in the request.
      return Error(ErrorReason::ERROR_REASON_INVALID_FIELD, std::string(fd.status().message()),
                   {{"field", std::string(field)}});
    default:
      return fd;
  }
}

}  // namespace cvm::agent::core
