// SPDX-License-Identifier: Apache-2.0
//
// agent_bench WHAT NAME=VALUE…: measures a running agent against the libvirt below it. Run it where
// both are, beside nothing else. tests/bench/bench_test.py does all of it.
#include <fmt/format.h>

#include <charconv>
#include <map>

#include "common/status_macros.h"
#include "tests/bench/benchmarks.h"

namespace cvm::bench {
namespace {

const std::map<std::string, absl::Status (*)(const Options&)> kBenchmarks = {
    {"burst", BenchBurst}, {"clear", Clear},    {"create", BenchCreate},
    {"get", BenchGet},     {"list", BenchList}, {"populate", Populate},
};

absl::Status SetNumber(const std::string& text, size_t* number) {
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, *number).ptr == end && *number > 0) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("'{}' is not a number above 0", text));
}

absl::StatusOr<Options> ParseOptions(int count, char** words) {
  Options options;
  const std::map<std::string, std::string*> texts = {
      {"socket", &options.socket},       {"libvirt", &options.libvirt_uri},
      {"state_dir", &options.state_dir}, {"scratch", &options.scratch},
      {"image", &options.image_id},      {"agent_pid", &options.agent_pid}};
  const std::map<std::string, size_t*> numbers = {{"count", &options.count},
                                                  {"pairs", &options.pairs}};
  for (int i = 0; i < count; ++i) {
    const std::string word = words[i];
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (const auto text = texts.find(name); text != texts.end() && !value.empty()) {
      *text->second = value;
    } else if (const auto number = numbers.find(name); number != numbers.end()) {
      CVM_RETURN_IF_ERROR(SetNumber(value, number->second));
    } else {
      return absl::InvalidArgumentError(fmt::format("'{}' is no option", word));
    }
  }
  return options;
}

absl::Status Main(int argc, char** argv) {
  const auto benchmark = argc < 2 ? kBenchmarks.end() : kBenchmarks.find(argv[1]);
  if (benchmark == kBenchmarks.end()) {
    std::string known;
    for (const auto& [name, function] : kBenchmarks) known += " " + name;
    return absl::InvalidArgumentError("the first word must be one of" + known);
  }
  CVM_ASSIGN_OR_RETURN(const Options options, ParseOptions(argc - 2, argv + 2));
  return benchmark->second(options);
}

}  // namespace
}  // namespace cvm::bench

int main(int argc, char** argv) {
  const absl::Status status = cvm::bench::Main(argc, argv);
  if (status.ok()) return 0;
  fmt::print(stderr, "agent_bench: {}\n", status.ToString());
  return 1;
}
