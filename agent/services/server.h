// SPDX-License-Identifier: Apache-2.0
//
// The gRPC server: where it listens, reflection, health.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/config.h"
#include "grpcpp/server.h"

namespace cvm::agent::services {

class Server {
 public:
  // Listens on the unix socket (mode 0660, the configured group; a stale socket file is replaced)
  // and, where configured, on loopback TCP. The services outlive the server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const Config::Listen& listen,
                                                       const std::vector<grpc::Service*>& services);
  // Shutdown().
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Says NOT_SERVING, refuses new calls, lets those under way end until `grace` has passed, and
  // cancels the rest.
  void Shutdown(absl::Duration grace);

 private:
  Server(std::unique_ptr<grpc::Server> server, std::string socket_path)
      : server_(std::move(server)), socket_path_(std::move(socket_path)) {}

  std::unique_ptr<grpc::Server> server_;
  const std::string socket_path_;
};

}  // namespace cvm::agent::services
