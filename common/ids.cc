// SPDX-License-Identifier: Apache-2.0
#include "common/ids.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "common/errors.h"
#include "common/mutex.h"
#include "common/text.h"
#include "fmt/format.h"

namespace cvm {
namespace {

constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz0123456789";
constexpr size_t kSuffixLength = 8;
constexpr size_t kMaxRequestIdLength = 64;
constexpr size_t kQuotedBytes = 80;

class KernelRandom final : public Random {
 public:
  void Fill(void* data, size_t size) override {
    auto* next = static_cast<unsigned char*>(data);
    while (size > 0) {
      const ssize_t got = getrandom(next, size, 0);
      if (got < 0) {
        if (errno == EINTR) continue;
        std::perror("getrandom");
        std::abort();
      }
      next += got;
      size -= static_cast<size_t>(got);
    }
  }
};

// SplitMix64: any seed gives a good sequence.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}

  void Fill(void* data, size_t size) override {
    auto* bytes = static_cast<unsigned char*>(data);
    MutexLock lock(mutex_);
    for (size_t i = 0; i < size; ++i) {
      if (i % 8 == 0) word_ = Next();
      bytes[i] = static_cast<unsigned char>(word_ >> (8 * (i % 8)));
    }
  }

 private:
  uint64_t Next() CVM_REQUIRES(mutex_) {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
  }

  Mutex mutex_;
  uint64_t state_ CVM_GUARDED_BY(mutex_);
  uint64_t word_ CVM_GUARDED_BY(mutex_) = 0;
};

std::string Quoted(std::string_view text) {
  return ClipText(PrintableText(text, LineBreaks::kEscape), kQuotedBytes);
}

}  // namespace

Random& Random::Secure() {
  // Never destroyed: threads may still ask while the program ends.
  static KernelRandom* const random = new KernelRandom;
  return *random;
}

std::unique_ptr<Random> MakeSeededRandom(uint64_t seed) {
  return std::make_unique<SeededRandom>(seed);
}

std::string MakeId(std::string_view prefix, Random& random) {
  // Bytes from here on would make the first letters likelier than the last ones.
  constexpr unsigned kLimit = 256 / kAlphabet.size() * kAlphabet.size();
  std::string id = fmt::format("{}-", prefix);
  const size_t length = id.size() + kSuffixLength;
  while (id.size() < length) {
    std::array<unsigned char, kSuffixLength> bytes;
    random.Fill(bytes.data(), bytes.size());
    for (const unsigned char byte : bytes) {
      if (byte < kLimit && id.size() < length) id += kAlphabet[byte % kAlphabet.size()];
    }
  }
  return id;
}

std::string MakeUuid(Random& random) {
  std::array<unsigned char, 16> bytes;
  random.Fill(bytes.data(), bytes.size());
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string uuid;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += fmt::format("{:02x}", bytes[i]);
  }
  return uuid;
}

std::string MakeMac(Random& random) {
  std::array<unsigned char, 3> bytes;
  random.Fill(bytes.data(), bytes.size());
  return fmt::format("52:54:00:{:02x}:{:02x}:{:02x}", bytes[0], bytes[1], bytes[2]);
}

bool IsId(std::string_view prefix, std::string_view text) {
  if (text.size() != prefix.size() + 1 + kSuffixLength) return false;
  if (text.substr(0, prefix.size()) != prefix || text[prefix.size()] != '-') return false;
  return text.find_first_not_of(kAlphabet, prefix.size() + 1) == std::string_view::npos;
}

absl::Status CheckId(std::string_view field, std::string_view prefix, std::string_view text) {
  if (text.empty()) return MissingField(field);
  if (IsId(prefix, text)) return absl::OkStatus();
  return Error(common::v1::ERROR_REASON_MALFORMED_ID,
               fmt::format("{}: '{}' is not an id: it must be '{}-' and {} of a-z and 0-9", field,
                           Quoted(text), prefix, kSuffixLength),
               {{"field", std::string(field)}});
}

absl::Status CheckRequestId(std::string_view text) {
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
  if (!text.empty() && text.size() <= kMaxRequestIdLength && printable) return absl::OkStatus();
  return Error(
      common::v1::ERROR_REASON_INVALID_FIELD,
      fmt::format("request_id: must be 1 to {} printable ASCII characters", kMaxRequestIdLength),
      {{"field", "request_id"}, {"limit", std::to_string(kMaxRequestIdLength)}});
}

}  // namespace cvm
