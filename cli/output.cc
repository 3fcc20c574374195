// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <algorithm>
#include <optional>

#include "common/clock.h"
#include "common/errors.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"
#include "nlohmann/json.hpp"

namespace cvm::cli {
namespace {

// How many bytes the well-formed UTF-8 character at the start of `text` takes; 0 when there is
// none.
size_t CharacterSize(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t size = byte(0) < 0x80             ? 1
                      : (byte(0) & 0xe0) == 0xc0 ? 2
                      : (byte(0) & 0xf0) == 0xe0 ? 3
                      : (byte(0) & 0xf8) == 0xf0 ? 4
                                                 : 0;
  if (size == 0 || size > text.size()) return 0;
  for (size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms of what takes two bytes at most.
  if (size == 2 && byte(0) < 0xc2) return 0;
  return size;
}

bool IsControl(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  // U+0080 to U+009F: some terminals obey them.
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

size_t Columns(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string_view ColourOf(Tone tone) {
  switch (tone) {
    case Tone::kGood:
      return "\x1b[32m";
    case Tone::kBad:
      return "\x1b[31m";
    case Tone::kBusy:
      return "\x1b[33m";
    case Tone::kPlain:
      break;
  }
  return "";
}

std::string FieldOf(const std::optional<google::rpc::ErrorInfo>& info) {
  if (!info) return "";
  const auto field = info->metadata().find("field");
  return field == info->metadata().end() ? "" : field->second;
}

}  // namespace

absl::StatusOr<OutputFormat> ParseOutputFormat(std::string_view text) {
  if (text == "table") return OutputFormat::kTable;
  if (text == "json") return OutputFormat::kJson;
  if (text == "id") return OutputFormat::kId;
  return absl::InvalidArgumentError(
      fmt::format("'{}' is no output format: one of table, json, id", text));
}

std::string HumanBytes(uint64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  size_t unit = 0;
  double value = static_cast<double>(bytes);
  // 1023.95 and more would be shown as 1024.0.
  while (unit + 1 < std::size(kUnits) && value >= (unit == 0 ? 1024 : 1023.95)) {
    value /= 1024;
    ++unit;
  }
  std::string number = fmt::format("{:.1f}", value);
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return fmt::format("{} {}", number, kUnits[unit]);
}

std::string HumanDuration(absl::Duration duration) {
  const int64_t seconds = std::max<int64_t>(absl::ToInt64Seconds(duration), 0);
  const int64_t minutes = seconds / 60;
  if (minutes < 60) return fmt::format("{}:{:02}", minutes, seconds % 60);
  return fmt::format("{}:{:02}:{:02}", minutes / 60, minutes % 60, seconds % 60);
}

std::string HumanTime(const google::protobuf::Timestamp& time, absl::TimeZone zone) {
  if (time.seconds() == 0 && time.nanos() == 0) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", FromTimestamp(time), zone);
}

std::string Printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const size_t size = CharacterSize(text);
    const std::string_view character = text.substr(0, std::max<size_t>(size, 1));
    result += size == 0 || IsControl(character) ? "?" : character;
    text.remove_prefix(character.size());
  }
  return result;
}

void Table::SetTone(size_t column, Tone tone) {
  paints_.push_back({rows_.size() - 1, column, tone});
}

std::string Table::Render(bool colour) const {
  std::vector<std::vector<std::string>> lines;
  if (!header_.empty()) lines.push_back(header_);
  const size_t first_row = lines.size();
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    auto& line = lines.emplace_back();
    for (const auto& cell : row) line.push_back(cell.empty() ? "-" : Printable(cell));
  }
  for (const auto& line : lines) {
    widths.resize(std::max(widths.size(), line.size()));
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Columns(line[i]));
  }
  std::string text;
  for (size_t row = 0; row < lines.size(); ++row) {
    for (size_t i = 0; i < lines[row].size(); ++i) {
      const std::string& cell = lines[row][i];
      const auto paint = std::find_if(paints_.begin(), paints_.end(), [&](const Paint& p) {
        return p.row + first_row == row && p.column == i;
      });
      const std::string_view code =
          colour && paint != paints_.end() ? ColourOf(paint->tone) : std::string_view();
      text += fmt::format("{}{}{}", code, cell, code.empty() ? "" : "\x1b[0m");
      if (i + 1 < lines[row].size()) text.append(widths[i] - Columns(cell) + 2, ' ');
    }
    text += '\n';
  }
  return text;
}

absl::StatusOr<std::string> ToJson(const google::protobuf::Message& message, bool pretty) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = pretty;
  options.always_print_primitive_fields = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) {
    return absl::InternalError("the answer has no JSON form: " + std::string(status.message()));
  }
  if (pretty && !json.ends_with('\n')) json += '\n';
  return json;
}

std::string ReasonOfError(const absl::Status& status) {
  if (const auto info = ErrorInfoOf(status); info && !info->reason().empty()) {
    return Printable(info->reason());
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return "USAGE";
    case absl::StatusCode::kUnavailable:
      return "AGENT_UNREACHABLE";
    case absl::StatusCode::kDeadlineExceeded:
      return "TIMED_OUT";
    default:
      return absl::StatusCodeToString(status.code());
  }
}

std::string ErrorText(const absl::Status& status) {
  const std::string message(status.message());
  const std::string field = FieldOf(ErrorInfoOf(status));
  std::string text = fmt::format("cvmctl: {}: {}", ReasonOfError(status), Printable(message));
  if (!field.empty()) text += fmt::format(" (field {})", Printable(field));
  return text;
}

std::string ErrorJson(const absl::Status& status) {
  const std::string message(status.message());
  nlohmann::ordered_json error;
  error["code"] = absl::StatusCodeToString(status.code());
  error["reason"] = ReasonOfError(status);
  error["message"] = message;
  if (const auto info = ErrorInfoOf(status)) {
    if (const std::string field = FieldOf(info); !field.empty()) error["field"] = field;
    // An ordered map, so that the same error always reads the same.
    nlohmann::json metadata = nlohmann::json::object();
    for (const auto& [key, value] : info->metadata()) metadata[key] = value;
    error["metadata"] = metadata;
  }
  nlohmann::ordered_json document;
  document["error"] = error;
  return document.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace cvm::cli
