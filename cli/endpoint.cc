// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "cli/parse.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::cli {

absl::StatusOr<Endpoint> MakeEndpoint(const std::string& socket_path, const std::string& address) {
  if (!address.empty()) {
    CVM_ASSIGN_OR_RETURN(std::string target, ParseLoopbackAddress(address));
    return Endpoint{.target = std::move(target), .shown = address, .socket_path = ""};
  }
  if (socket_path.empty() || socket_path.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("a socket's path has 1 to {} characters", sizeof(sockaddr_un::sun_path) - 1));
  }
  return Endpoint{
      .target = "unix:" + socket_path, .shown = socket_path, .socket_path = socket_path};
}

absl::Status CheckSocket(const Endpoint& endpoint) {
  if (endpoint.socket_path.empty()) return absl::OkStatus();
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  endpoint.socket_path.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    return absl::OkStatus();
  }
  const int error = errno;
  const std::string advice = error == EACCES || error == EPERM
                                 ? "be root or a member of the socket's group"
                                 : "is cvm-agentd running, and is this its socket?";
  return absl::UnavailableError(
      fmt::format("cannot reach the agent at {}: {}; {}", endpoint.shown, strerror(error), advice));
}

}  // namespace cvm::cli
