// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/session.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

struct ScreenshotArguments {
  std::string id;
  std::string file;
  bool force = false;
};

absl::Status WriteAll(int fd, const std::string& path, std::string_view data) {
  while (!data.empty()) {
    const ssize_t written = write(fd, data.data(), data.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      return absl::InternalError(fmt::format("cannot write {}: {}", path, strerror(errno)));
    }
    data.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status Save(const ScreenshotArguments& arguments, const std::string& png) {
  // What a screen shows may be private.
  if (arguments.force) return WriteFileAtomically(arguments.file, png, 0600);
  const UniqueFd fd(
      open(arguments.file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) {
    const std::string hint = errno == EEXIST ? " (--force overwrites it)" : "";
    return absl::InvalidArgumentError(
        fmt::format("{}: {}{}", arguments.file, strerror(errno), hint));
  }
  absl::Status status = WriteAll(fd.get(), arguments.file, png);
  // Half a picture is of no use.
  if (!status.ok()) unlink(arguments.file.c_str());
  return status;
}

int Screenshot(Session& session, const ScreenshotArguments& arguments) {
  const bool to_stdout = arguments.file == "-";
  struct stat info {};
  // Told before the guest is bothered; Save() refuses it for good.
  if (!to_stdout && !arguments.force && lstat(arguments.file.c_str(), &info) == 0) {
    return session.Fail(absl::InvalidArgumentError(
        fmt::format("{}: {} (--force overwrites it)", arguments.file, strerror(EEXIST))));
  }
  if (to_stdout && isatty(STDOUT_FILENO) == 1) {
    return session.Fail(absl::InvalidArgumentError("not writing a picture to a terminal"));
  }
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());
  agent::v1::GetScreenshotRequest request;
  request.set_instance_id(arguments.id);
  auto shot = (*client)->GetScreenshot(request);
  if (!shot.ok()) return session.Fail(shot.status());
  if (to_stdout) return session.Print(shot->png());
  if (const absl::Status status = Save(arguments, shot->png()); !status.ok()) {
    return session.Fail(status);
  }
  const std::string line = fmt::format("{}: {}x{}, {}\n", Printable(arguments.file), shot->width(),
                                       shot->height(), HumanBytes(shot->png().size()));
  // A program has the picture in the file and wants the rest.
  shot->clear_png();
  return session.Print(*shot, arguments.id, line);
}

}  // namespace

void AddInstanceScreenshot(Command group) {
  const auto arguments = std::make_shared<ScreenshotArguments>();
  Command command = group.Sub("screenshot", "Save what the screen shows, as PNG");
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  command.Text("-f,--file", &arguments->file, "FILE", "Where to; - is standard output", true);
  command.Flag("--force", &arguments->force, "Overwrite the file");
  command.Run([arguments](Session& session) { return Screenshot(session, *arguments); });
}

}  // namespace cvm::cli
