// SPDX-License-Identifier: Apache-2.0
#include "drivers/images/qemu_img.h"

#include <nlohmann/json.hpp>

#include "common/errors.h"
#include "common/log.h"
#include "fmt/format.h"

namespace cvm::images {
namespace {

constexpr uint64_t kAddressSpaceBytes = uint64_t{4} << 30;

// The beginning of what it printed: one line for each of a damaged image's clusters is too much.
std::string_view ForLog(const CommandResult& result) {
  return std::string_view(result.err).substr(0, 1000);
}

bool Says(const CommandResult& result, std::string_view text) {
  return result.err.find(text) != std::string::npos;
}

}  // namespace

std::string_view FormatName(Format format) { return format == Format::kRaw ? "raw" : "qcow2"; }

std::string DescriptorFilename(int fd, Format format) {
  nlohmann::json node = {
      {"driver", std::string(FormatName(format))},
      {"file", {{"driver", "file"}, {"filename", fmt::format("/proc/self/fd/{}", fd)}}}};
  if (format == Format::kQcow2) node["backing"] = nullptr;
  return "json:" + node.dump();
}

CommandLimits QemuImgLimits() {
  CommandLimits limits;
  limits.timeout = absl::Minutes(2);
  limits.cpu_seconds = 60;
  limits.address_space_bytes = kAddressSpaceBytes;
  return limits;
}

absl::StatusOr<CommandResult> RunQemuImg(const std::vector<std::string>& arguments,
                                         const CommandLimits& limits) {
  std::vector<std::string> argv = {"qemu-img"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  absl::StatusOr<CommandResult> result = RunCommand(argv, limits);
  if (result.ok()) {
    if (result->exit_code < 128) return result;
    CVM_LOG_WARNING("qemu-img {} ended by signal {}: {}", arguments.front(),
                    result->exit_code - 128, ForLog(*result));
    return Error(
        common::v1::ERROR_REASON_COMMAND_FAILED,
        fmt::format("qemu-img {} was ended by signal {}, as one that exceeds its limits is",
                    arguments.front(), result->exit_code - 128));
  }
  switch (result.status().code()) {
    case absl::StatusCode::kCancelled:
      return Error(common::v1::ERROR_REASON_OPERATION_CANCELLED,
                   "the work on the image was "
                   "cancelled");
    case absl::StatusCode::kNotFound:
      return Error(common::v1::ERROR_REASON_COMMAND_FAILED,
                   "qemu-img is not installed on the host; install the package qemu-utils");
    case absl::StatusCode::kDeadlineExceeded:
      return Error(common::v1::ERROR_REASON_COMMAND_FAILED,
                   fmt::format("qemu-img {} did not end within {} and was stopped",
                               arguments.front(), absl::FormatDuration(limits.timeout)));
    default:
      CVM_LOG_WARNING("qemu-img {} could not be run: {}", arguments.front(),
                      result.status().ToString());
      return Error(
          common::v1::ERROR_REASON_COMMAND_FAILED,
          fmt::format("qemu-img {} could not be run; the agent's log says why", arguments.front()));
  }
}

absl::Status QemuImgError(std::string_view subcommand, const CommandResult& result) {
  CVM_LOG_WARNING("qemu-img {} failed with exit code {}: {}", subcommand, result.exit_code,
                  ForLog(result));
  if (Says(result, "No space left on device") || Says(result, "Disk quota exceeded")) {
    return Error(common::v1::ERROR_REASON_NO_SPACE,
                 "the host's disk for images and instances is full; free some space");
  }
  if (Says(result, "Is another process using the image")) {
    return Error(common::v1::ERROR_REASON_IMAGE_IN_USE,
                 "the image is open for writing elsewhere; stop what uses it");
  }
  if (Says(result, "error while reading")) {
    return Error(common::v1::ERROR_REASON_IMAGE_CORRUPT,
                 "a part of the image cannot be read: it is damaged; copy it again");
  }
  return Error(common::v1::ERROR_REASON_COMMAND_FAILED,
               fmt::format("qemu-img {} failed with exit code {}; the agent's log says why",
                           subcommand, result.exit_code));
}

}  // namespace cvm::images
