// SPDX-License-Identifier: Apache-2.0
#include "common/hmac.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "common/file.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

std::string Hex(std::string_view bytes) {
  std::string hex;
  for (const char byte : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return hex;
}

// RFC 4231, test cases 1, 2 and 6 (a key longer than a block).
TEST(Hmac, MatchesTheStandard) {
  EXPECT_EQ(Hex(HmacSha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(Hex(HmacSha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(Hex(HmacSha256(std::string(131, '\xaa'),
                           "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hmac, TakesEmptyKeyAndData) {
  EXPECT_EQ(Hex(HmacSha256("", "")),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
  EXPECT_EQ(HmacSha256(std::string_view(), std::string_view()), HmacSha256("", ""));
}

TEST(Hmac, ConstantTimeEquals) {
  EXPECT_TRUE(ConstantTimeEquals("", ""));
  EXPECT_TRUE(ConstantTimeEquals("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEquals("abc", "ab"));
  EXPECT_FALSE(ConstantTimeEquals("", "a"));
}

// FIPS 180-2.
TEST(Sha256, MatchesTheStandard) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 sha;
  sha.Update("a");
  sha.Update("");
  sha.Update("bc");
  EXPECT_EQ(sha.HexDigest(), Sha256Hex("abc"));
}

TEST(Sha256, ReadsAWholeFileAndLeavesItsOffset) {
  const TemporaryFolder folder;
  // More than two pieces, and no whole number of them.
  std::string content((size_t{2} << 20) + 17, 'x');
  content[5] = '\0';
  const UniqueFd fd(open(folder.Write("f", content).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(lseek(fd.get(), 3, SEEK_SET), 3);
  const auto digest = Sha256OfFd(fd.get());
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(*digest, Sha256Hex(content));
  EXPECT_EQ(lseek(fd.get(), 0, SEEK_CUR), 3);
}

TEST(Sha256, CanBeCancelled) {
  const TemporaryFolder folder;
  const UniqueFd fd(
      open(folder.Write("f", std::string(size_t{3} << 20, 'x')).c_str(), O_RDONLY | O_CLOEXEC));
  int asked = 0;
  const auto digest = Sha256OfFd(fd.get(), [&asked] { return ++asked == 2; });
  EXPECT_EQ(digest.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(asked, 2);
}

TEST(Sha256, ReportsWhatCannotBeRead) {
  EXPECT_FALSE(Sha256OfFd(-1).ok());
  const UniqueFd folder(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  EXPECT_FALSE(Sha256OfFd(folder.get()).ok());
  std::array<int, 2> pipe_fds{};
  ASSERT_EQ(pipe2(pipe_fds.data(), O_CLOEXEC), 0);
  const UniqueFd read_end(pipe_fds[0]);
  const UniqueFd write_end(pipe_fds[1]);
  EXPECT_FALSE(Sha256OfFd(read_end.get()).ok());
}

}  // namespace
}  // namespace cvm
