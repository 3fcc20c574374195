// SPDX-License-Identifier: Apache-2.0
//
// The number and time formats of ECMA-119, appended to a string of bytes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace cvm::cloudinit::iso {

inline constexpr std::size_t kSectorBytes = 2048;

// Sectors that `bytes` fill.
constexpr std::uint32_t SectorsFor(std::size_t bytes) {
  return static_cast<std::uint32_t>((bytes + kSectorBytes - 1) / kSectorBytes);
}

class ByteWriter {
 public:
  void U8(std::uint32_t value);
  void U16Little(std::uint32_t value);
  void U16Big(std::uint32_t value);
  void U32Little(std::uint32_t value);
  void U32Big(std::uint32_t value);
  // Little-endian, then big-endian (ECMA-119 7.2.3 and 7.3.3).
  void U16Both(std::uint32_t value);
  void U32Both(std::uint32_t value);
  void Bytes(std::string_view bytes) { out_.append(bytes); }
  // `text`, which must fit, filled up to `width` bytes with `pad`.
  void Padded(std::string_view text, std::size_t width, char pad);
  void Zeros(std::size_t count) { out_.append(count, '\0'); }
  // Zeros up to the next multiple of `alignment`.
  void Align(std::size_t alignment);
  // Seven bytes, as in a directory record (9.1.5), UTC.
  void ShortTime(std::chrono::sys_seconds time);
  // Seventeen bytes, as in a volume descriptor (8.4.26.1), UTC.
  void LongTime(std::chrono::sys_seconds time);
  // A long time that is "not specified".
  void NoTime();

  [[nodiscard]] std::size_t size() const { return out_.size(); }
  [[nodiscard]] const std::string& bytes() const { return out_; }
  [[nodiscard]] std::string Take() { return std::move(out_); }

 private:
  std::string out_;
};

}  // namespace cvm::cloudinit::iso
