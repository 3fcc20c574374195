// SPDX-License-Identifier: Apache-2.0
//
// One run of cvmctl: what every command has at hand.
#pragma once

#include <memory>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/client.h"
#include "cli/exit_code.h"
#include "cli/interrupter.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/views.h"
#include "google/protobuf/message.h"

namespace cvm::cli {

// As typed.
struct GlobalOptions {
  std::string socket;
  std::string address;
  std::string output = "table";
  std::string timeout;
  bool quiet = false;
};

// Not thread-safe.
class Session {
 public:
  Session(GlobalOptions options, Interrupter& interrupter, std::ostream& out, std::ostream& err);

  // Reads the options; before anything else.
  absl::Status SetUp();

  // Connects at the first call.
  absl::StatusOr<Client*> client();
  OutputFormat format() const { return format_; }
  void set_format(OutputFormat format) { format_ = format; }
  const ViewStyle& style() const { return style_; }
  Progress& progress() { return *progress_; }
  Interrupter& interrupter() { return interrupter_; }
  absl::Time deadline() const { return deadline_; }
  // Ends everything after this long, where no earlier limit was given. Before client().
  void LimitTo(absl::Duration duration);

  // Writes to standard output. The result is an exit code: not OK when it cannot be written.
  int Print(std::string_view text);
  // A message in the format that was asked for: `view` for people, or `id`.
  int Print(const google::protobuf::Message& message, const std::string& id,
            const std::string& view);
  // One element of a stream: a JSON object on a line of its own, or `line`.
  int PrintEvent(const google::protobuf::Message& message, const std::string& id,
                 const std::string& line);
  // Reports an error and says with which code to exit.
  int Fail(const absl::Status& status);

 private:
  const GlobalOptions options_;
  Interrupter& interrupter_;
  std::ostream& out_;
  std::ostream& err_;
  OutputFormat format_ = OutputFormat::kTable;
  ViewStyle style_;
  absl::Time deadline_ = absl::InfiniteFuture();
  std::unique_ptr<Progress> progress_;
  std::unique_ptr<Client> client_;
};

// The status with the name of the flag or argument it is about in front; OK stays OK.
absl::Status About(std::string_view flag, const absl::Status& status);

}  // namespace cvm::cli
