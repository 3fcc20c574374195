// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/agent_client.h"

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "common/grpc_status.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace cvm::bench {
namespace {

namespace v1 = agent::v1;

constexpr std::chrono::seconds kCallDeadline(150);
constexpr int64_t kWaitSeconds = 120;
constexpr int kMaxAnswerBytes = 64 << 20;
constexpr uint64_t kDiskBytes = uint64_t{1} << 30;
constexpr uint64_t kMemoryMib = 128;

void SetDeadline(grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() + kCallDeadline);
}

}  // namespace

AgentClient::AgentClient(const std::string& socket) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxAnswerBytes);
  // Otherwise all channels of a process to one address are one connection.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  channel_ =
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments);
  instances_ = v1::InstanceService::NewStub(channel_);
  operations_ = v1::OperationService::NewStub(channel_);
}

absl::Status AgentClient::Wait(v1::Operation operation) {
  v1::WaitOperationRequest request;
  request.set_operation_id(operation.id());
  request.mutable_timeout()->set_seconds(kWaitSeconds);
  grpc::ClientContext context;
  SetDeadline(context);
  CVM_RETURN_IF_ERROR(FromGrpc(operations_->WaitOperation(&context, request, &operation)));
  if (operation.state() == v1::Operation::SUCCESS) return absl::OkStatus();
  if (operation.state() == v1::Operation::OPERATING) {
    return absl::DeadlineExceededError("still under way: " + operation.ShortDebugString());
  }
  return absl::InternalError("failed: " + operation.ShortDebugString());
}

absl::Status AgentClient::Create(const v1::CreateInstanceRequest& request) {
  v1::Operation operation;
  {
    grpc::ClientContext context;
    SetDeadline(context);
    CVM_RETURN_IF_ERROR(FromGrpc(instances_->CreateInstance(&context, request, &operation)));
  }
  return Wait(std::move(operation));
}

absl::Status AgentClient::Delete(const std::string& instance_id) {
  v1::Operation operation;
  {
    v1::DeleteInstanceRequest request;
    request.set_instance_id(instance_id);
    grpc::ClientContext context;
    SetDeadline(context);
    CVM_RETURN_IF_ERROR(FromGrpc(instances_->DeleteInstance(&context, request, &operation)));
  }
  return Wait(std::move(operation));
}

absl::StatusOr<const v1::ListInstancesResponse*> AgentClient::List(google::protobuf::Arena& arena) {
  v1::ListInstancesRequest request;
  request.set_page_size(1000);
  auto* response = google::protobuf::Arena::CreateMessage<v1::ListInstancesResponse>(&arena);
  grpc::ClientContext context;
  SetDeadline(context);
  CVM_RETURN_IF_ERROR(FromGrpc(instances_->ListInstances(&context, request, response)));
  return response;
}

absl::StatusOr<v1::Instance> AgentClient::Get(const std::string& instance_id) {
  v1::GetInstanceRequest request;
  request.set_instance_id(instance_id);
  v1::Instance response;
  grpc::ClientContext context;
  SetDeadline(context);
  CVM_RETURN_IF_ERROR(FromGrpc(instances_->GetInstance(&context, request, &response)));
  return response;
}

v1::CreateInstanceRequest SmallInstance(const std::string& image_id) {
  v1::CreateInstanceRequest request;
  v1::InstanceSpec& spec = *request.mutable_spec();
  spec.set_image_id(image_id);
  spec.set_vcpus(1);
  spec.set_memory_mib(kMemoryMib);
  spec.mutable_system_disk()->set_size_bytes(kDiskBytes);
  spec.add_nics();
  return request;
}

absl::Status InParallel(const std::string& socket, size_t threads, size_t count,
                        const std::function<absl::Status(AgentClient&, size_t)>& work) {
  std::atomic<size_t> next = 0;
  Mutex mutex;
  absl::Status result;
  {
    std::vector<std::jthread> running;
    for (size_t i = 0; i < threads; ++i) {
      running.emplace_back([&] {
        AgentClient client(socket);
        while (true) {
          const size_t index = next++;
          if (index >= count) return;
          const absl::Status status = work(client, index);
          if (status.ok()) continue;
          next = count;
          MutexLock lock(mutex);
          if (result.ok()) result = status;
          return;
        }
      });
    }
  }
  return result;
}

}  // namespace cvm::bench
