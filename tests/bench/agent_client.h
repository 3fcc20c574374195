// SPDX-License-Identifier: Apache-2.0
//
// An agent's API as the benchmarks use it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "cvm/agent/v1/instance_service.grpc.pb.h"
#include "cvm/agent/v1/operation_service.grpc.pb.h"
#include "google/protobuf/arena.h"

namespace cvm::bench {

// One connection of its own. Thread-safe.
class AgentClient {
 public:
  // Of the agent's unix socket; connects with the first call.
  explicit AgentClient(const std::string& socket);

  // Return when the operation has ended; its error when it failed.
  absl::Status Create(const agent::v1::CreateInstanceRequest& request);
  absl::Status Delete(const std::string& instance_id);

  // All of them, in one page: at most 1000. The answer is in the arena.
  absl::StatusOr<const agent::v1::ListInstancesResponse*> List(google::protobuf::Arena& arena);
  absl::StatusOr<agent::v1::Instance> Get(const std::string& instance_id);

 private:
  absl::Status Wait(agent::v1::Operation operation);

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<agent::v1::InstanceService::Stub> instances_;
  std::unique_ptr<agent::v1::OperationService::Stub> operations_;
};

// The instance of every benchmark: small, with one NIC.
agent::v1::CreateInstanceRequest SmallInstance(const std::string& image_id);

// Calls `work` with 0 to `count` - 1 from several threads, each with a connection of its own.
// Returns the first error, after which no more is begun.
absl::Status InParallel(const std::string& socket, size_t threads, size_t count,
                        const std::function<absl::Status(AgentClient&, size_t)>& work);

}  // namespace cvm::bench
