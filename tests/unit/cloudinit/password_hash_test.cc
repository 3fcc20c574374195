// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/password_hash.h"

#include <crypt.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cloudinit/sample_settings.h"

namespace cvm::cloudinit {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string Crypt(const std::string& password, const std::string& setting) {
  crypt_data data{};
  const char* hash = crypt_r(password.c_str(), setting.c_str(), &data);
  return hash == nullptr ? "" : hash;
}

std::string Salt(const char* method) {
  std::array<char, CRYPT_GENSALT_OUTPUT_SIZE> out{};
  const std::string bytes = "0123456789abcdef";
  const char* salt = crypt_gensalt_rn(method, 0, bytes.data(), static_cast<int>(bytes.size()),
                                      out.data(), static_cast<int>(out.size()));
  return salt == nullptr ? "" : salt;
}

TEST(PasswordHash, AcceptsWhatLibcryptMakes) {
  for (const char* method : {"$6$", "$5$", "$y$", "$gy$", "$7$", "$2b$", "$2a$", "$2y$"}) {
    const std::string hash = Crypt("test", Salt(method));
    EXPECT_TRUE(ValidatePasswordHash(hash).ok()) << hash;
  }
  EXPECT_TRUE(ValidatePasswordHash(Crypt("test", "$6$rounds=10000$saltsalt$")).ok());
  EXPECT_TRUE(ValidatePasswordHash(Crypt("test", "$5$rounds=1000$s$")).ok());
}

TEST(PasswordHash, RefusesWeakMethods) {
  for (const char* method : {"$1$", "$sha1", "$md5", "_", ""}) {
    const std::string hash = Crypt("test", Salt(method));
    ASSERT_FALSE(hash.empty()) << method;
    EXPECT_FALSE(ValidatePasswordHash(hash).ok()) << hash;
  }
}

TEST(PasswordHash, RefusesEverythingElse) {
  const std::string good = testing::kSha512Hash;
  const std::string digest = good.substr(good.rfind('$') + 1);
  for (const std::string& text : std::vector<std::string>{
           "",
           "secret",
           "$6$",
           "$6$secret",
           "$6$my$password",
           "$6$salt$" + digest.substr(1),
           "$6$salt$" + digest + "A",
           "$6$salt$" + digest + "$",
           "$6$salt$" + digest + "\n",
           "$6$salt$" + digest.substr(1) + ":",
           "$6$salt$" + digest.substr(1) + " ",
           "$6$salt$" + digest.substr(1) + std::string("\0", 1),
           "$6$sa:lt$" + digest,
           "$6$sa\nlt$" + digest,
           "$6$" + std::string(17, 's') + "$" + digest,
           "$6$rounds=999$salt$" + digest,
           "$6$rounds=1000000000$salt$" + digest,
           "$6$rounds=01000$salt$" + digest,
           "$6$rounds=1e4$salt$" + digest,
           "$6$rounds=$salt$" + digest,
           "x" + good,
           "!" + good,
           "*",
           "!",
           "!!",
           "root:" + good,
           "$2b$05$" + std::string(52, 'a'),
           "$2b$32$" + std::string(53, 'a'),
           "$2b$5$" + std::string(53, 'a'),
           "$2x$05$" + std::string(53, 'a'),
           "$y$j9T$salt$" + std::string(42, 'a'),
           "$y$j9T$" + std::string(43, 'a'),
           "$y$$salt$" + std::string(43, 'a'),
           "$9$salt$" + digest,
       }) {
    const absl::Status status = ValidatePasswordHash(text);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    if (text.size() > 3) {
      EXPECT_THAT(std::string(status.message()), Not(HasSubstr(text)));
    }
  }
}

TEST(PasswordHash, OldCloudInitKnowsOnlySomeMethods) {
  EXPECT_TRUE(IsHashKnownToOldCloudInit(testing::kSha512Hash));
  EXPECT_FALSE(IsHashKnownToOldCloudInit(testing::kYescryptHash));
  EXPECT_FALSE(IsHashKnownToOldCloudInit("$2b$05$x"));
}

std::string FixedBytes(std::size_t count) { return std::string(count, '\x5a'); }

TEST(HashPassword, MakesAHashThatVerifies) {
  const absl::StatusOr<std::string> hash = HashPassword("Corr3ct horse: $\xc3\xa9", FixedBytes);
  ASSERT_TRUE(hash.ok()) << hash.status();
  EXPECT_TRUE(hash->starts_with("$6$"));
  EXPECT_TRUE(ValidatePasswordHash(*hash).ok());
  EXPECT_EQ(Crypt("Corr3ct horse: $\xc3\xa9", *hash), *hash);
  EXPECT_NE(Crypt("corr3ct horse: $\xc3\xa9", *hash), *hash);
}

TEST(HashPassword, SaltComesFromTheSource) {
  const auto other = [](std::size_t count) { return std::string(count, '\x21'); };
  EXPECT_EQ(*HashPassword("test", FixedBytes), *HashPassword("test", FixedBytes));
  EXPECT_NE(*HashPassword("test", FixedBytes), *HashPassword("test", other));
}

TEST(HashPassword, RefusesBadInput) {
  EXPECT_EQ(HashPassword("", FixedBytes).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HashPassword(std::string("a\0b", 3), FixedBytes).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(HashPassword(std::string(kMaxPasswordBytes + 1, 'x'), FixedBytes).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(HashPassword(std::string(kMaxPasswordBytes, 'x'), FixedBytes).ok());
  const auto broken = [](std::size_t) { return std::string(); };
  EXPECT_EQ(HashPassword("test", broken).status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace cvm::cloudinit
