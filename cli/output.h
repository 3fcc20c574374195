// SPDX-License-Identifier: Apache-2.0
//
// How cvmctl shows things: aligned tables for people, protobuf's own JSON for programs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"

namespace cvm::cli {

enum class OutputFormat { kTable, kJson, kId };
absl::StatusOr<OutputFormat> ParseOutputFormat(std::string_view text);

// "512 MiB", "1.5 GiB", "0 B".
std::string HumanBytes(uint64_t bytes);
// "0:07", "12:30", "1:02:03".
std::string HumanDuration(absl::Duration duration);
// "2026-01-31 23:59:59" in `zone`; "-" when it is not set.
std::string HumanTime(const google::protobuf::Timestamp& time, absl::TimeZone zone);

// What may be shown on a terminal: control characters and malformed UTF-8 become '?'.
std::string Printable(std::string_view text);

// The words of a table that have a colour of their own.
enum class Tone { kPlain, kGood, kBad, kBusy };

// Columns aligned by two blanks; the last is not padded. An empty cell shows as "-".
class Table {
 public:
  // Without a header row when `header` is empty.
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // The last row's cell in this column.
  void SetTone(size_t column, Tone tone);
  std::string Render(bool colour) const;

 private:
  struct Paint {
    size_t row;
    size_t column;
    Tone tone;
  };
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
  std::vector<Paint> paints_;
};

// One line, or several indented ones. Fields that hold their default are there, unset messages are
// not: a program need not tell an absent 0 from one that is there.
absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool pretty);

// The word that stands for an error: the agent's reason, or one of cvmctl's own (USAGE,
// AGENT_UNREACHABLE, TIMED_OUT, or the name of the status code).
std::string ReasonOfError(const absl::Status& status);
// "cvmctl: REASON: message (field spec.name)", without a line break.
std::string ErrorText(const absl::Status& status);
// {"error":{"code":"NOT_FOUND","reason":"...","message":"...","field":"...","metadata":{...}}}
std::string ErrorJson(const absl::Status& status);

}  // namespace cvm::cli
