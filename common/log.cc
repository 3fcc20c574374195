// SPDX-License-Identifier: Apache-2.0
#include "common/log.h"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "common/text.h"
#include "spdlog/logger.h"
#include "spdlog/pattern_formatter.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace cvm {
namespace {

struct LevelNames {
  spdlog::level::level_enum level;
  // As syslog numbers them; journald reads the prefix and takes it off.
  const char* journal_prefix;
  const char* name;
};

// In the order of LogLevel.
constexpr std::array<LevelNames, 4> kLevels = {{
    {spdlog::level::debug, "<7>", "DEBUG "},
    {spdlog::level::info, "<6>", "INFO "},
    {spdlog::level::warn, "<4>", "WARNING "},
    {spdlog::level::err, "<3>", "ERROR "},
}};

const LevelNames& NamesOf(LogLevel level) { return kLevels[static_cast<size_t>(level)]; }

// systemd sets JOURNAL_STREAM to device and inode of the stream it made; a program that has since
// redirected standard error, or inherited the variable, is not talking to the journal.
bool StandardErrorIsJournal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || fstat(STDERR_FILENO, &info) != 0) return false;
  return fmt::format("{}:{}", info.st_dev, info.st_ino) == stream;
}

struct Output {
  bool journal = false;
  std::unique_ptr<spdlog::logger> logger;
};

const Output& GetOutput() {
  // Never destroyed: threads may still log while the program ends.
  static const Output* const output = [] {
    auto result = std::make_unique<Output>();
    result->journal = StandardErrorIsJournal();
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        result->journal ? "%v" : "%Y-%m-%dT%H:%M:%S.%fZ %v", spdlog::pattern_time_type::utc));
    result->logger = std::make_unique<spdlog::logger>("cvm", std::move(sink));
    result->logger->set_level(spdlog::level::info);
    return result.release();
  }();
  return *output;
}

}  // namespace

void SetLogLevel(LogLevel level) { GetOutput().logger->set_level(NamesOf(level).level); }

bool LogEnabled(LogLevel level) { return GetOutput().logger->should_log(NamesOf(level).level); }

void LogLine(LogLevel level, std::string_view text) {
  if (!LogEnabled(level)) return;
  const Output& output = GetOutput();
  const LevelNames& names = NamesOf(level);
  std::string line = output.journal ? names.journal_prefix : names.name;
  line += PrintableText(text, LineBreaks::kEscape);
  output.logger->log(names.level, spdlog::string_view_t(line));
}

}  // namespace cvm
