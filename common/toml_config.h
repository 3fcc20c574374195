// SPDX-License-Identifier: Apache-2.0
//
// Reads a TOML file into a program's own struct; an unknown key, a wrong type or a value out of
// range is an error that names the file's line. The only header users need; toml++ stays behind it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace cvm {

// One table of the file. Get...() leaves `*out` as it is when the key is absent. Errors are
// collected; Finish() of the TomlFile reports all of them, and every key that nobody asked for.
class TomlTable {
 public:
  void GetString(std::string_view key, std::string* out);
  void GetBool(std::string_view key, bool* out);
  void GetInt(std::string_view key, int64_t min, int64_t max, int64_t* out);
  void GetDouble(std::string_view key, double min, double max, double* out);
  // "90s", "5m", "1h30m" (absl::ParseDuration).
  void GetDuration(std::string_view key, absl::Duration min, absl::Duration max,
                   absl::Duration* out);
  void GetStrings(std::string_view key, std::vector<std::string>* out);
  // A [table]; an absent one is empty.
  TomlTable Table(std::string_view key);
  // Every [[table]] of that name.
  std::vector<TomlTable> Tables(std::string_view key);
  // Reports a problem with this key, with its line.
  void AddError(std::string_view key, std::string_view problem);

 private:
  friend class TomlFile;
  struct Node;
  std::shared_ptr<Node> node_;
};

class TomlFile {
 public:
  // NotFound, PermissionDenied or InvalidArgument ("agent.toml:12: ...").
  static absl::StatusOr<TomlFile> Load(const std::string& path);
  static absl::StatusOr<TomlFile> Parse(std::string_view text, std::string_view name);
  TomlTable Root();
  // InvalidArgument with one line a problem ("agent.toml:12: unknown key 'foo'"), or OK.
  absl::Status Finish();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace cvm
