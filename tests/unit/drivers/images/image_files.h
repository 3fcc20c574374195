// SPDX-License-Identifier: Apache-2.0
//
// Image files for tests: made by the real qemu-img, and spoilt by hand.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "common/errors.h"
#include "common/file.h"

namespace cvm::images {

// A folder that goes with the object, with all that is in it.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  // The names of what is in it, sorted.
  std::vector<std::string> Names() const;

 private:
  std::string path_;
};

// Runs a program; the test fails when that does not exit with 0. Its standard output.
std::string RunOk(const std::vector<std::string>& argv);
nlohmann::json QemuImgInfo(const std::string& path);

UniqueFd OpenForReading(const std::string& path);
std::string ReadAll(const std::string& path);
void WriteAll(const std::string& path, std::string_view content);

// Text that repeats nowhere within `bytes`, the same at each call.
std::string Noise(size_t bytes);

// Big-endian numbers written over what is at `offset`.
void Put32(std::string& bytes, size_t offset, uint32_t value);
void Put64(std::string& bytes, size_t offset, uint64_t value);

}  // namespace cvm::images
