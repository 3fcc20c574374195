// SPDX-License-Identifier: Apache-2.0
#include "common/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "common/log.h"
#include "fmt/format.h"

namespace cvm {
namespace {

constexpr size_t kDigestBytes = 32;
constexpr size_t kPieceBytes = size_t{1} << 20;

void Require(bool done, std::string_view what) {
  if (done) return;
  CVM_LOG_ERROR("OpenSSL failed: {}", what);
  std::abort();
}

const unsigned char* Bytes(std::string_view data) {
  // A null pointer would mean that there is no key, which is not the same as an empty one.
  return reinterpret_cast<const unsigned char*>(data.empty() ? "" : data.data());
}

}  // namespace

std::string HmacSha256(std::string_view key, std::string_view data) {
  std::string mac(kDigestBytes, '\0');
  size_t length = 0;
  const unsigned char* done =
      EVP_Q_mac(nullptr, "HMAC", nullptr, "SHA256", nullptr, Bytes(key), key.size(), Bytes(data),
                data.size(), reinterpret_cast<unsigned char*>(mac.data()), mac.size(), &length);
  Require(done != nullptr && length == kDigestBytes, "HMAC");
  return mac;
}

bool ConstantTimeEquals(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  return CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

struct Sha256::Impl {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  Require(impl_->context != nullptr, "EVP_MD_CTX_new");
  Require(EVP_DigestInit_ex(impl_->context.get(), EVP_sha256(), nullptr) == 1, "EVP_DigestInit_ex");
}

Sha256::~Sha256() = default;

void Sha256::Update(std::string_view data) {
  Require(EVP_DigestUpdate(impl_->context.get(), data.data(), data.size()) == 1,
          "EVP_DigestUpdate");
}

std::string Sha256::HexDigest() {
  std::array<unsigned char, kDigestBytes> digest{};
  unsigned length = 0;
  Require(EVP_DigestFinal_ex(impl_->context.get(), digest.data(), &length) == 1 &&
              length == digest.size(),
          "EVP_DigestFinal_ex");
  std::string hex;
  for (const unsigned char byte : digest) hex += fmt::format("{:02x}", byte);
  return hex;
}

std::string Sha256Hex(std::string_view data) {
  Sha256 sha;
  sha.Update(data);
  return sha.HexDigest();
}

absl::StatusOr<std::string> Sha256OfFd(int fd, const std::function<bool()>& cancelled) {
  Sha256 sha;
  std::string piece(kPieceBytes, '\0');
  off_t offset = 0;
  while (true) {
    if (cancelled && cancelled()) return absl::CancelledError("the checksum was cancelled");
    const ssize_t got = pread(fd, piece.data(), piece.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::ErrnoToStatus(errno, "cannot read a file for its checksum");
    if (got == 0) return sha.HexDigest();
    sha.Update(std::string_view(piece).substr(0, static_cast<size_t>(got)));
    offset += got;
  }
}

}  // namespace cvm
