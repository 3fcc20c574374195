// SPDX-License-Identifier: Apache-2.0
#include "agent/core/paging.h"

#include "absl/strings/escaping.h"
#include "common/errors.h"

namespace cvm::agent::core {
namespace {

constexpr std::string_view kTokenPrefix = "1:";

}  // namespace

absl::StatusOr<size_t> PageSize(uint32_t asked) {
  if (asked > 1000) return InvalidField("page_size", "must be at most 1000");
  return asked == 0 ? size_t{100} : size_t{asked};
}

std::string MakePageToken(std::string_view key) {
  return absl::WebSafeBase64Escape(std::string(kTokenPrefix) + std::string(key));
}

absl::StatusOr<std::string> ParsePageToken(std::string_view token) {
  std::string text;
  if (token.empty()) return text;
  if (!absl::WebSafeBase64Unescape(std::string(token), &text) || !text.starts_with(kTokenPrefix)) {
    return Error(ErrorReason::ERROR_REASON_INVALID_PAGE_TOKEN,
                 "page_token must be a next_page_token of this call", {{"field", "page_token"}});
  }
  return text.substr(kTokenPrefix.size());
}

}  // namespace cvm::agent::core
