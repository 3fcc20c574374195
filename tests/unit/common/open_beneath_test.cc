// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>

#include "common/errors.h"
#include "common/file.h"
#include "gtest/gtest.h"
#include "tests/unit/common/temporary_folder.h"

namespace cvm {
namespace {

constexpr ErrorReason kInvalid = common::v1::ERROR_REASON_INVALID_FIELD;
constexpr ErrorReason kNotFound = common::v1::ERROR_REASON_SOURCE_NOT_FOUND;

class OpenBeneathTest : public testing::Test {
 protected:
  OpenBeneathTest() {
    std::filesystem::create_directories(outer_.File("import/sub"));
    outer_.Write("secret", "outside");
    outer_.Write("import/file", "inside");
    outer_.Write("import/sub/file", "deeper");
  }

  // The content of what opens, or the reason why it does not.
  std::string Content(const std::string& path) {
    const absl::StatusOr<UniqueFd> fd = OpenBeneath(import_, path);
    EXPECT_TRUE(fd.ok()) << fd.status();
    if (!fd.ok()) return "";
    EXPECT_EQ(fcntl(fd->get(), F_GETFL) & (O_NONBLOCK | O_PATH | O_ACCMODE), O_RDONLY);
    EXPECT_EQ(fcntl(fd->get(), F_GETFD), FD_CLOEXEC);
    std::string content(100, ' ');
    const ssize_t got = read(fd->get(), content.data(), content.size());
    EXPECT_GE(got, 0);
    return content.substr(0, static_cast<size_t>(got));
  }
  ErrorReason Refusal(const std::string& path) {
    const absl::StatusOr<UniqueFd> fd = OpenBeneath(import_, path);
    EXPECT_FALSE(fd.ok()) << path;
    const std::string message(fd.status().message());
    EXPECT_EQ(message.find(outer_.path()), std::string::npos) << message;
    return ReasonOf(fd.status());
  }

  const TemporaryFolder outer_;
  const std::string import_ = outer_.File("import");
};

TEST_F(OpenBeneathTest, OpensRegularFiles) {
  EXPECT_EQ(Content("file"), "inside");
  EXPECT_EQ(Content("sub/file"), "deeper");
  EXPECT_EQ(Content("./sub//file"), "deeper");
  outer_.Write("import/..file", "dots");
  EXPECT_EQ(Content("..file"), "dots");
  outer_.Write("import/\u00e9 <&>", "name");
  EXPECT_EQ(Content("\u00e9 <&>"), "name");
}

TEST_F(OpenBeneathTest, RefusesMalformedPaths) {
  for (const std::string& path :
       {std::string(""), std::string("/etc/passwd"), std::string(".."), std::string("../secret"),
        std::string("sub/../file"), std::string("sub/.."), std::string("file\0x", 6),
        std::string("a\nb"), std::string("a\xff"), std::string(5000, 'x'), std::string(300, 'x')}) {
    EXPECT_EQ(Refusal(path), kInvalid) << path;
  }
}

TEST_F(OpenBeneathTest, RefusesWhatIsNoRegularFile) {
  EXPECT_EQ(Refusal("absent"), kNotFound);
  EXPECT_EQ(Refusal("sub"), kNotFound);
  EXPECT_EQ(Refusal("sub/"), kNotFound);
  EXPECT_EQ(Refusal("."), kNotFound);
  EXPECT_EQ(Refusal("file/"), kNotFound);
  EXPECT_EQ(Refusal("file/x"), kNotFound);
}

TEST_F(OpenBeneathTest, DoesNotHangOnAFifo) {
  ASSERT_EQ(mkfifo(outer_.File("import/fifo").c_str(), 0600), 0);
  EXPECT_EQ(Refusal("fifo"), kNotFound);
}

TEST_F(OpenBeneathTest, RefusesSocketsAndDevices) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = outer_.File("import/socket");
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(Refusal("socket"), kNotFound);
  const absl::StatusOr<UniqueFd> device = OpenBeneath("/dev", "null");
  EXPECT_EQ(ReasonOf(device.status()), kNotFound);
}

TEST_F(OpenBeneathTest, FollowsNoLinks) {
  std::filesystem::create_symlink("file", outer_.File("import/to-file"));
  std::filesystem::create_symlink("sub", outer_.File("import/to-sub"));
  std::filesystem::create_symlink("../secret", outer_.File("import/to-secret"));
  std::filesystem::create_symlink("/etc/passwd", outer_.File("import/to-passwd"));
  std::filesystem::create_symlink("loop", outer_.File("import/loop"));
  for (const char* path : {"to-file", "to-sub/file", "to-secret", "to-passwd", "loop"}) {
    EXPECT_EQ(Refusal(path), kNotFound) << path;
  }
}

TEST_F(OpenBeneathTest, FollowsNoMagicLinks) {
  const absl::StatusOr<UniqueFd> fd = OpenBeneath("/proc", "self/fd/0");
  EXPECT_EQ(ReasonOf(fd.status()), kNotFound);
}

TEST_F(OpenBeneathTest, TheFolderItselfMayBeALink) {
  std::filesystem::create_symlink("import", outer_.File("link"));
  EXPECT_TRUE(OpenBeneath(outer_.File("link"), "file").ok());
}

TEST_F(OpenBeneathTest, AMissingFolderIsNotTheCallersError) {
  const absl::StatusOr<UniqueFd> fd = OpenBeneath(outer_.File("absent"), "file");
  EXPECT_FALSE(fd.ok());
  EXPECT_EQ(ReasonOf(fd.status()), common::v1::ERROR_REASON_UNSPECIFIED);
}

}  // namespace
}  // namespace cvm
