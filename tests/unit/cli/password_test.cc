// SPDX-License-Identifier: Apache-2.0
#include "cli/password.h"

#include <crypt.h>

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::cli {
namespace {

TEST(HashPassword, MakesWhatCryptVerifies) {
  const auto hash = HashPassword("correct horse", Random::Secure());
  ASSERT_TRUE(hash.ok()) << hash.status();
  EXPECT_THAT(*hash, ::testing::StartsWith("$6$"));
  const auto data = std::make_unique<crypt_data>();
  EXPECT_EQ(crypt_r("correct horse", hash->c_str(), data.get()), *hash);
  EXPECT_NE(crypt_r("correct house", hash->c_str(), data.get()), *hash);
}

TEST(HashPassword, SaltsEachAnew) {
  EXPECT_NE(*HashPassword("a", Random::Secure()), *HashPassword("a", Random::Secure()));
}

TEST(HashPassword, RefusesWhatCryptWouldCut) {
  EXPECT_FALSE(HashPassword("", Random::Secure()).ok());
  EXPECT_FALSE(HashPassword(std::string("a\0b", 3), Random::Secure()).ok());
  EXPECT_FALSE(HashPassword(std::string(512, 'a'), Random::Secure()).ok());
  EXPECT_TRUE(HashPassword(std::string(511, 'a'), Random::Secure()).ok());
}

}  // namespace
}  // namespace cvm::cli
