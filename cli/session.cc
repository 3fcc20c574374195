// SPDX-License-Identifier: Apache-2.0
#include "cli/session.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "cli/endpoint.h"
#include "cli/parse.h"
#include "cli/terminal.h"
#include "common/clock.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {

Session::Session(GlobalOptions options, Interrupter& interrupter, std::ostream& out,
                 std::ostream& err)
    : options_(std::move(options)), interrupter_(interrupter), out_(out), err_(err) {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  const bool plain = (no_colour != nullptr && *no_colour != '\0') ||
                     (terminal != nullptr && std::string_view(terminal) == "dumb");
  style_.colour = !plain && isatty(STDOUT_FILENO) == 1;
  style_.zone = absl::LocalTimeZone();
  const bool live = isatty(STDERR_FILENO) == 1;
  progress_ = std::make_unique<Progress>(err_,
                                         options_.quiet ? Progress::Mode::kOff
                                         : live         ? Progress::Mode::kLive
                                                        : Progress::Mode::kPlain,
                                         TerminalWidth(STDERR_FILENO), Clock::Real());
}

absl::Status Session::SetUp() {
  const auto format = ParseOutputFormat(options_.output);
  if (!format.ok()) return About("--output", format.status());
  format_ = *format;
  if (!options_.timeout.empty()) {
    const auto timeout = ParseDuration(options_.timeout);
    if (!timeout.ok()) return About("--timeout", timeout.status());
    if (*timeout == absl::ZeroDuration()) {
      return About("--timeout", absl::InvalidArgumentError("must be longer than 0"));
    }
    LimitTo(*timeout);
  }
  return absl::OkStatus();
}

void Session::LimitTo(absl::Duration duration) {
  deadline_ = std::min(deadline_, absl::Now() + duration);
}

absl::StatusOr<Client*> Session::client() {
  if (client_ == nullptr) {
    CVM_ASSIGN_OR_RETURN(const Endpoint endpoint, MakeEndpoint(options_.socket, options_.address));
    ClientOptions client_options;
    client_options.deadline = deadline_;
    client_options.notice = [this](std::string_view text) {
      if (!options_.quiet) progress_->Note(text);
    };
    CVM_ASSIGN_OR_RETURN(client_,
                         Client::Connect(endpoint, std::move(client_options), interrupter_));
  }
  return client_.get();
}

int Session::Print(std::string_view text) {
  progress_->Clear();
  out_ << text << std::flush;
  if (out_.good()) return kExitOk;
  err_ << "cvmctl: INTERNAL: cannot write to standard output" << std::endl;
  return kExitInternal;
}

int Session::Print(const google::protobuf::Message& message, const std::string& id,
                   const std::string& view) {
  if (format_ == OutputFormat::kId) return Print(id.empty() ? "" : Printable(id) + "\n");
  if (format_ == OutputFormat::kTable) return Print(view);
  const auto json = ToJson(message, /*pretty=*/true);
  return json.ok() ? Print(*json) : Fail(json.status());
}

int Session::PrintEvent(const google::protobuf::Message& message, const std::string& id,
                        const std::string& line) {
  if (format_ != OutputFormat::kJson) return Print(message, id, line + "\n");
  const auto json = ToJson(message, /*pretty=*/false);
  return json.ok() ? Print(*json + "\n") : Fail(json.status());
}

int Session::Fail(const absl::Status& status) {
  progress_->Clear();
  if (const int number = interrupter_.signal(); number != 0 && absl::IsCancelled(status)) {
    return kExitSignal + number;
  }
  err_ << (format_ == OutputFormat::kJson ? ErrorJson(status) : ErrorText(status)) << std::endl;
  return ExitCodeOf(status);
}

absl::Status About(std::string_view flag, const absl::Status& status) {
  if (status.ok()) return status;
  return {status.code(), fmt::format("{}: {}", flag, std::string(status.message()))};
}

}  // namespace cvm::cli
