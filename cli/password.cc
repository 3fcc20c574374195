// SPDX-License-Identifier: Apache-2.0
#include "cli/password.h"

#include <crypt.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "cli/terminal.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {
namespace {

constexpr char kPrefix[] = "$6$";
constexpr size_t kSaltBytes = 16;

// A text that is overwritten before its memory is given back. It does not grow, so that no copy is
// left behind.
class Secret {
 public:
  ~Secret() { explicit_bzero(data_, sizeof(data_)); }
  Secret() = default;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  bool Append(char c) {
    if (size_ == sizeof(data_)) return false;
    data_[size_++] = c;
    return true;
  }
  std::string_view view() const { return {data_, size_}; }

 private:
  char data_[CRYPT_MAX_PASSPHRASE_SIZE];
  size_t size_ = 0;
};

absl::Status WriteText(int fd, std::string_view text) {
  if (write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size())) {
    return absl::OkStatus();
  }
  return absl::InternalError(fmt::format("cannot write to the terminal: {}", strerror(errno)));
}

absl::Status ReadLine(int fd, Interrupter& interrupter, Secret* line) {
  while (true) {
    pollfd entries[] = {{.fd = fd, .events = POLLIN, .revents = 0},
                        {.fd = interrupter.fd(), .events = POLLIN, .revents = 0}};
    if (poll(entries, 2, -1) < 0 && errno != EINTR) return absl::InternalError(strerror(errno));
    if (interrupter.signal() != 0) return absl::CancelledError("interrupted");
    if (entries[0].revents == 0) continue;
    char c = 0;
    const ssize_t got = read(fd, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::InvalidArgumentError("no password was typed");
    if (c == '\n') return absl::OkStatus();
    if (!line->Append(c)) return absl::InvalidArgumentError("the password is too long");
  }
}

absl::Status Ask(int fd, std::string_view question, Interrupter& interrupter, Secret* answer) {
  CVM_RETURN_IF_ERROR(WriteText(fd, question));
  const absl::Status status = ReadLine(fd, interrupter, answer);
  // The line break that was typed is not shown either.
  CVM_RETURN_IF_ERROR(WriteText(fd, "\n"));
  return status;
}

}  // namespace

absl::StatusOr<std::string> HashPassword(std::string_view password, Random& random) {
  if (password.empty()) return absl::InvalidArgumentError("the password is empty");
  if (password.size() >= CRYPT_MAX_PASSPHRASE_SIZE ||
      password.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError("the password is too long or holds a NUL");
  }
  char salt_bytes[kSaltBytes];
  random.Fill(salt_bytes, sizeof(salt_bytes));
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (crypt_gensalt_rn(kPrefix, 0, salt_bytes, sizeof(salt_bytes), setting, sizeof(setting)) ==
      nullptr) {
    return absl::InternalError(fmt::format("cannot make a salt: {}", strerror(errno)));
  }
  const auto data = std::make_unique<crypt_data>();
  char phrase[CRYPT_MAX_PASSPHRASE_SIZE] = {};
  password.copy(phrase, sizeof(phrase) - 1);
  const char* const hash = crypt_rn(phrase, setting, data.get(), sizeof(*data));
  const int error = errno;
  explicit_bzero(phrase, sizeof(phrase));
  std::string result = hash == nullptr ? "" : hash;
  explicit_bzero(data.get(), sizeof(*data));
  if (result.empty()) {
    return absl::InternalError(fmt::format("cannot hash the password: {}", strerror(error)));
  }
  return result;
}

absl::StatusOr<std::string> PromptForPasswordHash(Interrupter& interrupter, Random& random) {
  const UniqueFd terminal(open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
  if (!terminal) {
    return absl::InvalidArgumentError("there is no terminal to ask at: use --password-hash-file");
  }
  CVM_ASSIGN_OR_RETURN(const auto mode, TerminalMode::NoEcho(terminal.get()));
  Secret first;
  Secret second;
  CVM_RETURN_IF_ERROR(Ask(terminal.get(), "Password: ", interrupter, &first));
  CVM_RETURN_IF_ERROR(Ask(terminal.get(), "Again: ", interrupter, &second));
  if (first.view() != second.view()) {
    return absl::InvalidArgumentError("the two passwords differ");
  }
  return HashPassword(first.view(), random);
}

}  // namespace cvm::cli
