// SPDX-License-Identifier: Apache-2.0
#include "cloudinit/ssh_key.h"

#include <absl/strings/escaping.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/cloudinit/sample_settings.h"

namespace cvm::cloudinit {
namespace {

using ::testing::HasSubstr;

const char* const kEcdsa384 =
    "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBEkvVquqM0FjoX1R"
    "uI87eXy9oZO8Fz9euQoPjkDiMlsYTIUeuIrGcTgEAFzoa+l7J9KnlVd9peSH/xtKfpXdYheLSUiiCGt+CaPeiVQO"
    "Dj1El2RG/d+YbJH7ZPWZT/VG+A== test";
const char* const kEcdsa521 =
    "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAADtugXvQScgtWI"
    "1AfA9CeF3PVYXKcRBwS+SLJ7z1zhXc2AdfSIeogyuZsUof6XXcBcRRC1yLR/WV1xHVeHbTMNQwHm7MW6m7pqe07t"
    "/EOZEUp2ZSZBIE7v9wwsTtYSfl9akgprTZZqzYn4OtXNtUgV160b+Wo6gkeLYZ7PEiJ/C8KIug== test";
const char* const kRsa1024 =
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCne5teUtQw8jKdyvBQLTfc89K07oVgLykJ+8TWQtuxlxo1QCs9"
    "UrGNVPpezPjH0kBONKOU/vfuWUWDyXY22UfTam59QCljzypmxaL3lhqBByNjiB7YuhwJlFAEGws5NoVPMquCs7V1"
    "xJRLUf1Bfu4pyN/t6TIDgHNHsoLhx9Wf/Q==";
const char* const kDsa =
    "ssh-dss AAAAB3NzaC1kc3MAAACBAJcN9Vg7Gd0+CsFim0kgU/weQfTjCXRUB2L6rnqlhkxW/9YXgEJWwLaaf11H"
    "tqkJNfdHocNpmB9IxhtqaBLrmpEro8+aja6zBVwzQ3MDkXgh1Vsv8F60UJer02VbZW4kJO8KZfZ7KzU9stCQwdNc"
    "ISZHCK3cS1TAMKOtJRwFFOQbAAAAFQD4jqyN6rXVbbjE44na2wnRP+aBTQAAAIBfbj0FqSdP3y5lHJrPlcpo5HPl"
    "q1IkGOeR3bBpcU3Wd9DcQJNNJCQ7EG/CjSJ3+cUQD3UHgrKmd8kx25/KsFe1fsTHD28B9yTKNmksgwegu3R+g99k"
    "M24TR2lYRqJ9SlR1aYzbxN8CQge2mAWUwW1ZvNZnlMffP2VoKz+nQAo4DwAAAIA31JbFfkZOJ+9SgkEicoO92u8J"
    "o7a4iZ8KUgL42uhsmVhR1QiVXtRPfFlgoG8witdK1vjWDl1EeGdN/JyhmSqVQtr0Hxr8fTLkXuHefB62vMKjfraD"
    "Dva3YaU1Pv6hXa/nBnaJeEQJl05ZpK9PglW5lJw3FmjlCxWSDAO87Yt5bg== test";

std::string Field(const std::string& bytes) {
  std::string out(4, '\0');
  for (int i = 0; i < 4; ++i) out[3 - i] = static_cast<char>(bytes.size() >> (8 * i));
  return out + bytes;
}

std::string Line(const std::string& type, const std::string& blob) {
  return type + " " + absl::Base64Escape(blob);
}

TEST(SshKey, AcceptsWhatSshKeygenMakes) {
  for (const char* key : {testing::kEd25519Key, testing::kRsaKey, testing::kEcdsaKey, kEcdsa384,
                          kEcdsa521, kRsa1024}) {
    EXPECT_TRUE(ValidateSshPublicKey(key).ok()) << key << ValidateSshPublicKey(key);
  }
}

TEST(SshKey, AcceptsSecurityKeys) {
  const std::string ed = Field("sk-ssh-ed25519@openssh.com") + Field(std::string(32, 'k'));
  EXPECT_TRUE(ValidateSshPublicKey(Line("sk-ssh-ed25519@openssh.com", ed + Field("ssh:"))).ok());
  EXPECT_FALSE(ValidateSshPublicKey(Line("sk-ssh-ed25519@openssh.com", ed)).ok());
  const std::string ec = Field("sk-ecdsa-sha2-nistp256@openssh.com") + Field("nistp256") +
                         Field("\4" + std::string(64, 'p')) + Field("ssh:");
  EXPECT_TRUE(ValidateSshPublicKey(Line("sk-ecdsa-sha2-nistp256@openssh.com", ec)).ok());
}

TEST(SshKey, CommentIsOptionalAndAnyText) {
  const std::string key = testing::kEd25519Key;
  const std::string bare = key.substr(0, key.rfind(' '));
  EXPECT_TRUE(ValidateSshPublicKey(bare).ok());
  EXPECT_TRUE(ValidateSshPublicKey(bare + " ").ok());
  EXPECT_TRUE(ValidateSshPublicKey(bare + " two \"words\" \\ \xf0\x9f\x98\x80").ok());
  EXPECT_FALSE(ValidateSshPublicKey(bare + " \xff").ok());
}

struct Refusal {
  std::string key;
  const char* message;
};

TEST(SshKey, Refuses) {
  const std::string key = testing::kEd25519Key;
  const std::string data = key.substr(12, key.rfind(' ') - 12);
  const std::string blob32 = Field("ssh-ed25519") + Field(std::string(32, 'k'));
  const std::string rsa = Field("ssh-rsa") + Field("\1");
  const std::vector<Refusal> cases = {
      {"", "empty"},
      {kDsa, "supported type"},
      {"command=\"/bin/true\" " + key, "supported type"},
      {" " + key, "supported type"},
      {"SSH-ED25519 " + data, "supported type"},
      {"ssh-ed25519", "not base64"},
      {"ssh-ed25519  " + data, "not base64"},
      {"ssh-ed25519 " + data.substr(1), "not base64"},
      {"ssh-ed25519 " + data + "=", "not base64"},
      {"ssh-ed25519 !!!!", "not base64"},
      {key + "\n", "line break"},
      {key + "\nssh-ed25519 " + data, "line break"},
      {"ssh-ed25519\t" + data, "control character"},
      {key + std::string("\0", 1), "control character"},
      {key + "\xe2\x80\xa8second line", "line break"},
      {"ssh-rsa " + data, "one type"},
      {Line("ssh-ed25519", Field("ssh-ed25519") + Field(std::string(31, 'k'))), "malformed"},
      {Line("ssh-ed25519", blob32.substr(0, 40)), "malformed"},
      {Line("ssh-ed25519", "abc"), "truncated"},
      {Line("ssh-ed25519", std::string("\xff\xff\xff\xff", 4)), "truncated"},
      {Line("ssh-ed25519", blob32 + "x"), "after its end"},
      {Line("ssh-rsa", rsa + Field(std::string(64, '\x7f'))), "511 bits"},
      {Line("ssh-rsa", rsa + Field(std::string(256, '\xff'))), "malformed"},
      {Line("ssh-rsa", rsa + Field("")), "malformed"},
      {Line("ssh-rsa", rsa + Field(std::string(256, '\0'))), "malformed"},
      {Line("ecdsa-sha2-nistp256",
            Field("ecdsa-sha2-nistp256") + Field("nistp384") + Field("\4" + std::string(64, 'p'))),
       "malformed"},
      {Line("ecdsa-sha2-nistp256",
            Field("ecdsa-sha2-nistp256") + Field("nistp256") + Field(std::string(65, 'p'))),
       "malformed"},
      {key + std::string(kMaxSshKeyBytes, 'c'), "at most 16384"},
      {"-----BEGIN OPENSSH PRIVATE KEY-----", "supported type"},
  };
  for (const Refusal& refusal : cases) {
    const absl::Status status = ValidateSshPublicKey(refusal.key);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << refusal.key;
    EXPECT_THAT(std::string(status.message()), HasSubstr(refusal.message)) << refusal.key;
  }
}

TEST(SshKey, LengthLimitIsExact) {
  const std::string key = std::string(testing::kEd25519Key) + " ";
  EXPECT_TRUE(ValidateSshPublicKey(key + std::string(kMaxSshKeyBytes - key.size(), 'c')).ok());
  EXPECT_FALSE(ValidateSshPublicKey(key + std::string(kMaxSshKeyBytes - key.size() + 1, 'c')).ok());
}

}  // namespace
}  // namespace cvm::cloudinit
