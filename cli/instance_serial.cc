// SPDX-License-Identifier: Apache-2.0
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "cli/command_line.h"
#include "cli/parse.h"
#include "cli/session.h"
#include "cli/terminal.h"
#include "common/file.h"

namespace cvm::cli {
namespace {

// Ctrl-], as in telnet and virsh.
constexpr char kEscape = 0x1d;
constexpr size_t kInputBytes = 4096;

struct SerialArguments {
  std::string id;
  std::string log = "0";
  std::string duration;
  bool take_over = false;
  bool read_only = false;
};

// Copies standard input to the guest until it ends, the escape is typed or Stop() is called.
class InputPump {
 public:
  // `escape`: look for the escape key, which is for people and not for piped data.
  InputPump(SerialSession& session, bool escape)
      : session_(session), escape_(escape), stop_(eventfd(0, EFD_CLOEXEC)) {
    thread_ = std::thread([this] { Loop(); });
  }
  ~InputPump() {
    const uint64_t one = 1;
    // Cannot fail: the counter is 0.
    [[maybe_unused]] const ssize_t written = write(stop_.get(), &one, sizeof(one));
    thread_.join();
  }
  InputPump(const InputPump&) = delete;
  InputPump& operator=(const InputPump&) = delete;

 private:
  void Loop() {
    char buffer[kInputBytes];
    while (true) {
      pollfd entries[] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                          {.fd = stop_.get(), .events = POLLIN, .revents = 0}};
      if (poll(entries, 2, -1) < 0 && errno != EINTR) return;
      if (entries[1].revents != 0) return;
      if (entries[0].revents == 0) continue;
      const ssize_t got = read(STDIN_FILENO, buffer, sizeof(buffer));
      if (got < 0 && errno == EINTR) continue;
      // The end of piped input is not the end of the session: the guest's answer is to come.
      if (got <= 0) return;
      std::string input(buffer, static_cast<size_t>(got));
      const size_t escape = escape_ ? input.find(kEscape) : std::string::npos;
      input.resize(std::min(input.size(), escape));
      if (!input.empty() && !session_.Write(input)) return;
      if (escape != std::string::npos) return session_.Leave();
    }
  }

  SerialSession& session_;
  const bool escape_;
  UniqueFd stop_;
  std::thread thread_;
};

int Serial(Session& session, const SerialArguments& arguments) {
  agent::v1::StreamSerialRequest first;
  const auto log_bytes = ParseBytes(arguments.log);
  if (!log_bytes.ok()) return session.Fail(About("--log", log_bytes.status()));
  if (*log_bytes > UINT32_MAX) {
    return session.Fail(About("--log", absl::InvalidArgumentError("too large")));
  }
  if (!arguments.duration.empty()) {
    const auto duration = ParseDuration(arguments.duration);
    if (!duration.ok()) return session.Fail(About("--duration", duration.status()));
    session.LimitTo(*duration);
  }
  first.set_instance_id(arguments.id);
  first.set_log_bytes(static_cast<uint32_t>(*log_bytes));
  first.set_take_over(arguments.take_over);
  const auto client = session.client();
  if (!client.ok()) return session.Fail(client.status());

  const bool terminal = !arguments.read_only && isatty(STDIN_FILENO) == 1;
  const auto stream = (*client)->OpenSerial(first);
  int code = kExitOk;
  absl::Status ended;
  {
    std::unique_ptr<TerminalMode> raw;
    if (terminal) {
      session.progress().Note("connected to " + arguments.id + "; leave with Ctrl-]");
      auto mode = TerminalMode::Raw(STDIN_FILENO);
      if (!mode.ok()) {
        stream->Leave();
        (void)stream->Finish();
        return session.Fail(mode.status());
      }
      raw = *std::move(mode);
    }
    std::unique_ptr<InputPump> pump;
    if (!arguments.read_only) pump = std::make_unique<InputPump>(*stream, terminal);
    while (const auto output = stream->Read()) {
      code = session.Print(*output);
      if (code != kExitOk) stream->Leave();
    }
    // Before Finish(), which must be the last call on the stream.
    pump.reset();
    ended = stream->Finish();
  }
  if (terminal) session.progress().Note("left " + arguments.id);
  if (code != kExitOk || ended.ok()) return code;
  // As long as was asked for.
  if (absl::IsDeadlineExceeded(ended) && !arguments.duration.empty()) return kExitOk;
  return session.Fail(ended);
}

}  // namespace

void AddInstanceSerial(Command group) {
  const auto arguments = std::make_shared<SerialArguments>();
  Command command = group.Sub("serial", "Talk to the serial console; Ctrl-] leaves");
  command.Argument("INSTANCE", &arguments->id, "Its id (ins-...)");
  command.Text("--log", &arguments->log, "BYTES",
               "Show this much of the past first, with K or M if wanted (default: 0)");
  command.Flag("--take-over", &arguments->take_over, "End another session that has the console");
  command.Flag("--read-only", &arguments->read_only, "Send nothing");
  command.Text("--duration", &arguments->duration, "DURATION", "End after this long");
  command.Run([arguments](Session& session) { return Serial(session, *arguments); });
}

}  // namespace cvm::cli
