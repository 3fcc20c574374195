// SPDX-License-Identifier: Apache-2.0
#include "common/toml_config.h"

#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "common/file.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace cvm {

// A parsed file and what was asked of it, shared by its TomlFile and all its TomlTables.
struct TomlDocument {
  struct Problem {
    // 0 when the problem is with something that the file does not hold.
    uint32_t line = 0;
    std::string text;
    bool operator<(const Problem& other) const {
      return std::tie(line, text) < std::tie(other.line, other.text);
    }
  };
  struct Asked {
    // "guest.network." or "".
    std::string prefix;
    std::set<std::string, std::less<>> keys;
  };

  std::string name;
  toml::table root;
  std::set<Problem> problems;
  std::map<const toml::table*, Asked> asked;
};

struct TomlTable::Node {
  std::shared_ptr<TomlDocument> document;
  // Null when the file does not hold the table.
  const toml::table* table = nullptr;
  std::string prefix;

  // The value of a key, which counts as known from now on; null when it is absent.
  const toml::node* Find(std::string_view key) const {
    if (table == nullptr) return nullptr;
    document->asked[table].keys.insert(std::string(key));
    return table->get(key);
  }
  void AddProblem(const toml::node* at, std::string_view key, std::string_view problem) const {
    const toml::node* place = at != nullptr ? at : table;
    document->problems.insert({place != nullptr ? place->source().begin.line : 0,
                               fmt::format("'{}{}' {}", prefix, key, problem)});
  }
  void AddTypeProblem(const toml::node& value, std::string_view key, std::string_view wanted) const;
  std::shared_ptr<Node> Child(std::string_view key, const toml::table* child) const {
    auto node = std::make_shared<Node>();
    node->document = document;
    node->table = child;
    node->prefix = fmt::format("{}{}.", prefix, key);
    if (child != nullptr) document->asked[child].prefix = node->prefix;
    return node;
  }
};

struct TomlFile::Impl {
  std::shared_ptr<TomlDocument> document = std::make_shared<TomlDocument>();
};

namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;

std::string_view TypeName(const toml::node& value) {
  switch (value.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    default:
      return "a date or time";
  }
}

std::string At(const std::string& name, uint32_t line, std::string_view text) {
  return line == 0 ? fmt::format("{}: {}", name, text) : fmt::format("{}:{}: {}", name, line, text);
}

}  // namespace

void TomlTable::Node::AddTypeProblem(const toml::node& value, std::string_view key,
                                     std::string_view wanted) const {
  AddProblem(&value, key, fmt::format("must be {}, not {}", wanted, TypeName(value)));
}

void TomlTable::GetString(std::string_view key, std::string* out) {
  const toml::node* value = node_->Find(key);
  if (value == nullptr) return;
  if (const auto* text = value->as_string()) {
    *out = text->get();
  } else {
    node_->AddTypeProblem(*value, key, "a string");
  }
}

void TomlTable::GetBool(std::string_view key, bool* out) {
  const toml::node* value = node_->Find(key);
  if (value == nullptr) return;
  if (const auto* boolean = value->as_boolean()) {
    *out = boolean->get();
  } else {
    node_->AddTypeProblem(*value, key, "true or false");
  }
}

void TomlTable::GetInt(std::string_view key, int64_t min, int64_t max, int64_t* out) {
  const toml::node* value = node_->Find(key);
  if (value == nullptr) return;
  const auto* number = value->as_integer();
  if (number == nullptr) {
    node_->AddTypeProblem(*value, key, "an integer");
  } else if (number->get() < min || number->get() > max) {
    node_->AddProblem(value, key,
                      fmt::format("must be from {} to {}, not {}", min, max, number->get()));
  } else {
    *out = number->get();
  }
}

void TomlTable::GetDouble(std::string_view key, double min, double max, double* out) {
  const toml::node* value = node_->Find(key);
  if (value == nullptr) return;
  double number = 0;
  if (const auto* floating = value->as_floating_point()) {
    number = floating->get();
  } else if (const auto* integer = value->as_integer()) {
    number = static_cast<double>(integer->get());
  } else {
    node_->AddTypeProblem(*value, key, "a number");
    return;
  }
  // The other way round NaN, which is neither less nor greater, would pass.
  if (number >= min && number <= max) {
    *out = number;
  } else {
    node_->AddProblem(value, key, fmt::format("must be from {} to {}, not {}", min, max, number));
  }
}

void TomlTable::GetDuration(std::string_view key, absl::Duration min, absl::Duration max,
                            absl::Duration* out) {
  const toml::node* value = node_->Find(key);
  if (value == nullptr) return;
  const auto* text = value->as_string();
  absl::Duration duration;
  if (text == nullptr) {
    node_->AddTypeProblem(*value, key, "a duration such as \"90s\"");
  } else if (!absl::ParseDuration(text->get(), &duration)) {
    node_->AddProblem(
        value, key,
        fmt::format("must be a duration such as \"90s\" or \"1h30m\", not \"{}\"", text->get()));
  } else if (duration < min || duration > max) {
    node_->AddProblem(value, key,
                      fmt::format("must be from {} to {}, not {}", absl::FormatDuration(min),
                                  absl::FormatDuration(max), absl::FormatDuration(duration)));
  } else {
    *out = duration;
  }
}

void TomlTable::GetStrings(std::string_view key, std::vector<std::string>* out) {
  const toml::node* value = node_->Find(key);
  if (value == nullptr) return;
  const toml::array* array = value->as_array();
  if (array == nullptr) {
    node_->AddTypeProblem(*value, key, "an array of strings");
    return;
  }
  std::vector<std::string> strings;
  for (const toml::node& element : *array) {
    const auto* text = element.as_string();
    if (text == nullptr) {
      node_->AddProblem(&element, key,
                        fmt::format("must hold strings only, not {}", TypeName(element)));
      return;
    }
    strings.push_back(text->get());
  }
  *out = std::move(strings);
}

TomlTable TomlTable::Table(std::string_view key) {
  const toml::node* value = node_->Find(key);
  const toml::table* table = value != nullptr ? value->as_table() : nullptr;
  if (value != nullptr && table == nullptr) node_->AddTypeProblem(*value, key, "a table");
  TomlTable result;
  result.node_ = node_->Child(key, table);
  return result;
}

std::vector<TomlTable> TomlTable::Tables(std::string_view key) {
  std::vector<TomlTable> tables;
  const toml::node* value = node_->Find(key);
  if (value == nullptr) return tables;
  const toml::array* array = value->as_array();
  if (array == nullptr) {
    node_->AddTypeProblem(*value, key, "an array of tables ([[...]])");
    return tables;
  }
  for (const toml::node& element : *array) {
    const toml::table* table = element.as_table();
    if (table == nullptr) {
      node_->AddProblem(&element, key,
                        fmt::format("must hold tables only, not {}", TypeName(element)));
      continue;
    }
    TomlTable result;
    result.node_ = node_->Child(key, table);
    tables.push_back(std::move(result));
  }
  return tables;
}

void TomlTable::AddError(std::string_view key, std::string_view problem) {
  node_->AddProblem(node_->table != nullptr ? node_->table->get(key) : nullptr, key, problem);
}

absl::StatusOr<TomlFile> TomlFile::Load(const std::string& path) {
  CVM_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  return Parse(text, path);
}

absl::StatusOr<TomlFile> TomlFile::Parse(std::string_view text, std::string_view name) {
  TomlFile file;
  file.impl_ = std::make_shared<Impl>();
  TomlDocument& document = *file.impl_->document;
  document.name = std::string(name);
  // The packaged library is built to throw.
  try {
    document.root = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(At(document.name, error.source().begin.line,
                                         PrintableText(error.description(), LineBreaks::kEscape)));
  }
  return file;
}

TomlTable TomlFile::Root() {
  TomlTable root;
  root.node_ = std::make_shared<TomlTable::Node>();
  root.node_->document = impl_->document;
  root.node_->table = &impl_->document->root;
  return root;
}

absl::Status TomlFile::Finish() {
  TomlDocument& document = *impl_->document;
  // The root counts as asked for, even when nobody did.
  document.asked[&document.root];
  std::set<TomlDocument::Problem> problems = document.problems;
  for (const auto& [table, asked] : document.asked) {
    for (const auto& [key, value] : *table) {
      if (asked.keys.count(key.str()) > 0) continue;
      problems.insert(
          {key.source().begin.line, fmt::format("unknown key '{}{}'", asked.prefix, key.str())});
    }
  }
  if (problems.empty()) return absl::OkStatus();
  std::vector<std::string> lines;
  for (const TomlDocument::Problem& problem : problems) {
    lines.push_back(
        At(document.name, problem.line, PrintableText(problem.text, LineBreaks::kEscape)));
  }
  return absl::InvalidArgumentError(fmt::format("{}", fmt::join(lines, "\n")));
}

}  // namespace cvm
