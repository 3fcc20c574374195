// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/drivers/images/image_files.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "common/subprocess.h"
#include "gtest/gtest.h"

namespace cvm::images {

TempFolder::TempFolder() {
  std::string pattern = std::filesystem::temp_directory_path() / "cvm-images-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}

TempFolder::~TempFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
  EXPECT_FALSE(error) << error.message();
}

std::vector<std::string> TempFolder::Names() const {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string RunOk(const std::vector<std::string>& argv) {
  const absl::StatusOr<CommandResult> result = RunCommand(argv);
  EXPECT_TRUE(result.ok()) << argv.front() << ": " << result.status();
  if (!result.ok()) return "";
  EXPECT_EQ(result->exit_code, 0) << argv.front() << ": " << result->err;
  return result->out;
}

nlohmann::json QemuImgInfo(const std::string& path) {
  return nlohmann::json::parse(RunOk({"qemu-img", "info", "--output=json", "-f", "qcow2", path}),
                               nullptr, /*allow_exceptions=*/false);
}

UniqueFd OpenForReading(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(fd) << path;
  return fd;
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void WriteAll(const std::string& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  EXPECT_TRUE(file.good()) << path;
}

std::string Noise(size_t bytes) {
  std::mt19937_64 random(42);
  std::string noise;
  noise.reserve(bytes + sizeof(uint64_t));
  while (noise.size() < bytes) {
    const uint64_t value = random();
    noise.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  noise.resize(bytes);
  return noise;
}

void Put32(std::string& bytes, size_t offset, uint32_t value) {
  ASSERT_LE(offset + 4, bytes.size());
  for (size_t i = 0; i < 4; ++i) bytes[offset + i] = static_cast<char>(value >> (24 - 8 * i));
}

void Put64(std::string& bytes, size_t offset, uint64_t value) {
  Put32(bytes, offset, static_cast<uint32_t>(value >> 32));
  Put32(bytes, offset + 4, static_cast<uint32_t>(value));
}

}  // namespace cvm::images
