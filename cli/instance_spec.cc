// SPDX-License-Identifier: Apache-2.0
#include "cli/instance_spec.h"

#include "cli/parse.h"
#include "cli/session.h"
#include "common/file.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

// More than the agent takes of each, so that it is the agent that says what its limit is.
constexpr size_t kMaxFileBytes = 1 << 20;

}  // namespace

absl::StatusOr<std::string> ReadUsersFile(const std::string& path) {
  auto content = ReadFile(path, kMaxFileBytes);
  if (content.ok()) return content;
  // Unlike an error of the agent's, an absent file of the user's is a wrong command line.
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", path, std::string(content.status().message())));
}

absl::Status AddTags(const std::vector<std::string>& tags, agent::v1::InstanceSpec* spec) {
  for (const std::string& text : tags) {
    const auto tag = ParseTag(text);
    if (!tag.ok()) return About("--tag", tag.status());
    (*spec->mutable_tags())[tag->first] = tag->second;
  }
  return absl::OkStatus();
}

absl::Status AddUserData(const std::string& path, agent::v1::InstanceSpec* spec) {
  if (path.empty()) return absl::OkStatus();
  const auto content = ReadUsersFile(path);
  if (!content.ok()) return About("--user-data", content.status());
  spec->set_user_data(*content);
  return absl::OkStatus();
}

}  // namespace cvm::cli
