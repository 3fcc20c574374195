// SPDX-License-Identifier: Apache-2.0
//
// Logging: one line an event to standard error, in journald's form when started by systemd
// ("<4>..." priorities), with a time stamp otherwise. The only header that names spdlog.
//
//   CVM_LOG_INFO("instance {} started in {} ms", id, ms);
//
// Control characters and line breaks in the formatted text are escaped. Never pass a message that
// holds sensitive fields: format it with RedactedText() of common/redact.h.
#pragma once

#include <string>
#include <string_view>

#include "fmt/format.h"

namespace cvm {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Thread-safe; the default is kInfo.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);
void LogLine(LogLevel level, std::string_view text);

}  // namespace cvm

#define CVM_LOG_(level, ...)                             \
  do {                                                   \
    if (::cvm::LogEnabled(level)) {                      \
      ::cvm::LogLine(level, ::fmt::format(__VA_ARGS__)); \
    }                                                    \
  } while (false)
#define CVM_LOG_DEBUG(...) CVM_LOG_(::cvm::LogLevel::kDebug, __VA_ARGS__)
#define CVM_LOG_INFO(...) CVM_LOG_(::cvm::LogLevel::kInfo, __VA_ARGS__)
#define CVM_LOG_WARNING(...) CVM_LOG_(::cvm::LogLevel::kWarning, __VA_ARGS__)
#define CVM_LOG_ERROR(...) CVM_LOG_(::cvm::LogLevel::kError, __VA_ARGS__)
