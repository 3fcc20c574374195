// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/iso9660_bytes.h"

#include <fmt/format.h>

namespace cvm::cloudinit::iso {
namespace {

struct CivilTime {
  int year;
  unsigned month;
  unsigned day;
  std::int64_t hour;
  std::int64_t minute;
  std::int64_t second;
};

CivilTime ToCivil(std::chrono::sys_seconds time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return {static_cast<int>(date.year()),     static_cast<unsigned>(date.month()),
          static_cast<unsigned>(date.day()), clock.hours().count(),
          clock.minutes().count(),           clock.seconds().count()};
}

}  // namespace

void ByteWriter::U8(std::uint32_t value) {
  out_ += static_cast<char>(static_cast<std::uint8_t>(value & 0xffU));
}

void ByteWriter::U16Little(std::uint32_t value) {
  U8(value);
  U8(value >> 8U);
}

void ByteWriter::U16Big(std::uint32_t value) {
  U8(value >> 8U);
  U8(value);
}

void ByteWriter::U32Little(std::uint32_t value) {
  U16Little(value);
  U16Little(value >> 16U);
}

void ByteWriter::U32Big(std::uint32_t value) {
  U16Big(value >> 16U);
  U16Big(value);
}

void ByteWriter::U16Both(std::uint32_t value) {
  U16Little(value);
  U16Big(value);
}

void ByteWriter::U32Both(std::uint32_t value) {
  U32Little(value);
  U32Big(value);
}

void ByteWriter::Padded(std::string_view text, std::size_t width, char pad) {
  const std::string_view fitting = text.substr(0, width);
  out_.append(fitting);
  out_.append(width - fitting.size(), pad);
}

void ByteWriter::Align(std::size_t alignment) {
  const std::size_t rest = out_.size() % alignment;
  if (rest != 0) Zeros(alignment - rest);
}

void ByteWriter::ShortTime(std::chrono::sys_seconds time) {
  const CivilTime civil = ToCivil(time);
  U8(static_cast<std::uint32_t>(civil.year - 1900));
  U8(civil.month);
  U8(civil.day);
  U8(static_cast<std::uint32_t>(civil.hour));
  U8(static_cast<std::uint32_t>(civil.minute));
  U8(static_cast<std::uint32_t>(civil.second));
  U8(0);  // offset from UTC
}

void ByteWriter::LongTime(std::chrono::sys_seconds time) {
  const CivilTime civil = ToCivil(time);
  Bytes(fmt::format("{:04}{:02}{:02}{:02}{:02}{:02}00", civil.year, civil.month, civil.day,
                    civil.hour, civil.minute, civil.second));
  U8(0);
}

void ByteWriter::NoTime() {
  out_.append(16, '0');
  U8(0);
}

}  // namespace cvm::cloudinit::iso
