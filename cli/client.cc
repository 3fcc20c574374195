// SPDX-License-Identifier: Apache-2.0
#include "cli/client.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "common/errors.h"
#include "common/grpc_status.h"
#include "cvm/agent/v1/host_service.grpc.pb.h"
#include "cvm/agent/v1/image_service.grpc.pb.h"
#include "cvm/agent/v1/instance_service.grpc.pb.h"
#include "cvm/agent/v1/operation_service.grpc.pb.h"
#include "fmt/format.h"
#include "grpcpp/grpcpp.h"

namespace cvm::cli {
namespace {

using agent::v1::HostService;
using agent::v1::ImageService;
using agent::v1::InstanceService;
using agent::v1::OperationService;

constexpr int kMaxAttempts = 6;
constexpr absl::Duration kConnectTimeout = absl::Seconds(10);
constexpr absl::Duration kMaxPause = absl::Seconds(2);
// A screenshot of a large screen is more than gRPC's 4 MiB.
constexpr int kMaxMessageBytes = 64 << 20;

std::chrono::system_clock::time_point ToChrono(absl::Time time) {
  // gRPC takes a far future for none; absl's infinity does not fit.
  return absl::ToChronoTime(std::min(time, absl::Now() + absl::Hours(24 * 365)));
}

// The agent puts a reason into every error of its own, so one without comes from the transport.
bool ConnectionBroke(const absl::Status& status) {
  if (ErrorInfoOf(status)) return ReasonOf(status) == common::v1::ERROR_REASON_AGENT_STOPPING;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kCancelled:
      return true;
    default:
      return false;
  }
}

absl::Duration PauseAfter(int attempt) {
  return std::min(absl::Milliseconds(100) * (1 << std::min(attempt, 10)), kMaxPause);
}

absl::Status Interrupted() { return absl::CancelledError("interrupted"); }

class GrpcSerialSession final : public SerialSession {
 public:
  GrpcSerialSession(InstanceService::Stub* stub, absl::Time deadline, Interrupter& interrupter,
                    const agent::v1::StreamSerialRequest& first) {
    if (deadline != absl::InfiniteFuture()) context_.set_deadline(ToChrono(deadline));
    stream_ = stub->StreamSerial(&context_);
    on_signal_ = interrupter.OnSignal([this] { context_.TryCancel(); });
    // A stream that is broken already shows as such at the first Read().
    stream_->Write(first);
  }

  std::optional<std::string> Read() override {
    agent::v1::StreamSerialResponse response;
    if (!stream_->Read(&response)) return std::nullopt;
    return std::move(*response.mutable_output());
  }

  bool Write(const std::string& input) override {
    agent::v1::StreamSerialRequest request;
    request.set_input(input);
    return stream_->Write(request);
  }

  void Leave() override {
    left_ = true;
    context_.TryCancel();
  }

  absl::Status Finish() override {
    const absl::Status status = FromGrpc(stream_->Finish());
    return left_ ? absl::OkStatus() : status;
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<
      grpc::ClientReaderWriter<agent::v1::StreamSerialRequest, agent::v1::StreamSerialResponse>>
      stream_;
  std::atomic<bool> left_ = false;
  std::unique_ptr<Interrupter::Registration> on_signal_;
};

class GrpcClient final : public Client {
 public:
  GrpcClient(Endpoint endpoint, ClientOptions options, Interrupter& interrupter)
      : endpoint_(std::move(endpoint)), options_(std::move(options)), interrupter_(interrupter) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    // This is also how long a connection attempt may take; a busy host needs more than a moment.
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS,
                     static_cast<int>(absl::ToInt64Milliseconds(kConnectTimeout)));
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
    // Otherwise it is the socket's path, escaped, and no valid host name.
    if (!endpoint_.socket_path.empty())
      arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    channel_ =
        grpc::CreateCustomChannel(endpoint_.target, grpc::InsecureChannelCredentials(), arguments);
    hosts_ = HostService::NewStub(channel_);
    images_ = ImageService::NewStub(channel_);
    instances_ = InstanceService::NewStub(channel_);
    operations_ = OperationService::NewStub(channel_);
  }

  absl::Status FirstConnect() {
    if (absl::Status status = CheckSocket(endpoint_); !status.ok()) return status;
    return WaitReady(absl::Now() + kConnectTimeout, /*give_up_on_failure=*/true);
  }

  void SetDeadline(absl::Time deadline) override { options_.deadline = deadline; }

  absl::StatusOr<agent::v1::Host> GetHost(const agent::v1::GetHostRequest& request) override {
    return Unary(hosts_, &HostService::Stub::GetHost, request);
  }
  absl::StatusOr<agent::v1::CheckHostResponse> CheckHost(
      const agent::v1::CheckHostRequest& request) override {
    return Unary(hosts_, &HostService::Stub::CheckHost, request);
  }
  absl::StatusOr<agent::v1::Operation> RepairHost(
      const agent::v1::RepairHostRequest& request) override {
    return Unary(hosts_, &HostService::Stub::RepairHost, request);
  }
  absl::StatusOr<agent::v1::Operation> ImportImage(
      const agent::v1::ImportImageRequest& request) override {
    return Unary(images_, &ImageService::Stub::ImportImage, request);
  }
  absl::StatusOr<agent::v1::Image> GetImage(const agent::v1::GetImageRequest& request) override {
    return Unary(images_, &ImageService::Stub::GetImage, request);
  }
  absl::StatusOr<agent::v1::ListImagesResponse> ListImages(
      const agent::v1::ListImagesRequest& request) override {
    return Unary(images_, &ImageService::Stub::ListImages, request);
  }
  absl::StatusOr<agent::v1::Operation> DeleteImage(
      const agent::v1::DeleteImageRequest& request) override {
    return Unary(images_, &ImageService::Stub::DeleteImage, request);
  }
  absl::StatusOr<agent::v1::Operation> CreateInstance(
      const agent::v1::CreateInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::CreateInstance, request);
  }
  absl::StatusOr<agent::v1::Instance> GetInstance(
      const agent::v1::GetInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::GetInstance, request);
  }
  absl::StatusOr<agent::v1::ListInstancesResponse> ListInstances(
      const agent::v1::ListInstancesRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::ListInstances, request);
  }
  absl::StatusOr<agent::v1::Operation> RestoreInstance(
      const agent::v1::RestoreInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::RestoreInstance, request);
  }
  absl::StatusOr<agent::v1::Operation> AdoptInstance(
      const agent::v1::AdoptInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::AdoptInstance, request);
  }
  absl::StatusOr<agent::v1::Operation> ResizeInstance(
      const agent::v1::ResizeInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::ResizeInstance, request);
  }
  absl::StatusOr<agent::v1::Operation> UpdateInstance(
      const agent::v1::UpdateInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::UpdateInstance, request);
  }
  absl::StatusOr<agent::v1::Operation> DeleteInstance(
      const agent::v1::DeleteInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::DeleteInstance, request);
  }
  absl::StatusOr<agent::v1::Operation> StartInstance(
      const agent::v1::StartInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::StartInstance, request);
  }
  absl::StatusOr<agent::v1::Operation> StopInstance(
      const agent::v1::StopInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::StopInstance, request);
  }
  absl::StatusOr<agent::v1::Operation> RebootInstance(
      const agent::v1::RebootInstanceRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::RebootInstance, request);
  }
  absl::StatusOr<agent::v1::Screenshot> GetScreenshot(
      const agent::v1::GetScreenshotRequest& request) override {
    return Unary(instances_, &InstanceService::Stub::GetScreenshot, request);
  }
  absl::StatusOr<agent::v1::Operation> GetOperation(
      const agent::v1::GetOperationRequest& request) override {
    return Unary(operations_, &OperationService::Stub::GetOperation, request);
  }
  absl::StatusOr<agent::v1::ListOperationsResponse> ListOperations(
      const agent::v1::ListOperationsRequest& request) override {
    return Unary(operations_, &OperationService::Stub::ListOperations, request);
  }
  absl::StatusOr<agent::v1::Operation> CancelOperation(
      const agent::v1::CancelOperationRequest& request) override {
    return Unary(operations_, &OperationService::Stub::CancelOperation, request);
  }

  absl::Status WatchOperation(
      const std::string& operation_id,
      const std::function<bool(const agent::v1::Operation&)>& on_event) override {
    agent::v1::WatchOperationRequest request;
    request.set_operation_id(operation_id);
    // after_revision stays 0: an agent that was killed may have forgotten the last revisions it
    // showed, and would then hold back new states until it has counted beyond them.
    return Follow<agent::v1::Operation>(
        [&](grpc::ClientContext* context) { return operations_->WatchOperation(context, request); },
        on_event);
  }

  absl::Status WatchInstances(
      const std::function<bool(const agent::v1::InstanceEvent&)>& on_event) override {
    agent::v1::WatchInstancesRequest request;
    return Follow<agent::v1::InstanceEvent>(
        [&](grpc::ClientContext* context) { return instances_->WatchInstances(context, request); },
        [&](const agent::v1::InstanceEvent& event) {
          request.set_resume_token(event.resume_token());
          return on_event(event);
        });
  }

  absl::Status WatchEvents(
      const std::function<bool(const agent::v1::HostEvent&)>& on_event) override {
    agent::v1::WatchEventsRequest request;
    return Follow<agent::v1::HostEvent>(
        [&](grpc::ClientContext* context) { return hosts_->WatchEvents(context, request); },
        [&](const agent::v1::HostEvent& event) {
          request.set_resume_token(event.resume_token());
          return on_event(event);
        });
  }

  std::unique_ptr<SerialSession> OpenSerial(const agent::v1::StreamSerialRequest& first) override {
    return std::make_unique<GrpcSerialSession>(instances_.get(), options_.deadline, interrupter_,
                                               first);
  }

 private:
  void Notice(const absl::Status& status) {
    if (options_.notice) {
      options_.notice(ErrorInfoOf(status) ? "the agent is stopping; trying again"
                                          : "the connection to the agent broke; trying again");
    }
  }

  absl::Status WaitReady(absl::Time give_up, bool give_up_on_failure) {
    give_up = std::min(give_up, options_.deadline);
    while (true) {
      const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
      if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
      if (interrupter_.signal() != 0) return Interrupted();
      if (absl::Now() >= give_up ||
          (give_up_on_failure && state == GRPC_CHANNEL_TRANSIENT_FAILURE)) {
        return absl::UnavailableError(
            fmt::format("cannot reach the agent at {}: is cvm-agentd running?", endpoint_.shown));
      }
      // In short steps, since a signal does not end the wait.
      const absl::Time step = std::min(give_up, absl::Now() + absl::Milliseconds(100));
      channel_->WaitForStateChange(state, ToChrono(step));
    }
  }

  template <typename Stub, typename Request, typename Response>
  absl::StatusOr<Response> Unary(const std::unique_ptr<Stub>& stub,
                                 grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Response*),
                                 const Request& request) {
    for (int attempt = 1;; ++attempt) {
      grpc::ClientContext context;
      context.set_deadline(
          ToChrono(std::min(absl::Now() + options_.call_timeout, options_.deadline)));
      Response response;
      absl::Status status;
      {
        const auto on_signal = interrupter_.OnSignal([&] { context.TryCancel(); });
        status = FromGrpc((stub.get()->*method)(&context, request, &response));
      }
      if (status.ok()) return response;
      if (interrupter_.signal() != 0) return Interrupted();
      if (!ConnectionBroke(status) || attempt == kMaxAttempts) return status;
      Notice(status);
      if (!interrupter_.Sleep(PauseAfter(attempt))) return Interrupted();
      status = WaitReady(absl::Now() + options_.retry_window, /*give_up_on_failure=*/false);
      if (!status.ok()) return status;
    }
  }

  template <typename Event>
  absl::Status Follow(
      const std::function<std::unique_ptr<grpc::ClientReader<Event>>(grpc::ClientContext*)>& open,
      const std::function<bool(const Event&)>& on_event) {
    int failures = 0;
    while (true) {
      grpc::ClientContext context;
      if (options_.deadline != absl::InfiniteFuture()) {
        context.set_deadline(ToChrono(options_.deadline));
      }
      const auto on_signal = interrupter_.OnSignal([&] { context.TryCancel(); });
      const auto reader = open(&context);
      Event event;
      while (reader->Read(&event)) {
        failures = 0;
        if (on_event(event)) continue;
        context.TryCancel();
        // Our own cancel, or an end that came first: the caller has what it wanted.
        (void)reader->Finish();
        return absl::OkStatus();
      }
      const absl::Status ended = FromGrpc(reader->Finish());
      if (interrupter_.signal() != 0) return Interrupted();
      if (!ended.ok() && !ConnectionBroke(ended)) return ended;
      if (++failures == kMaxAttempts) {
        return ended.ok() ? absl::UnavailableError("the agent ends the stream without an event")
                          : ended;
      }
      if (!ended.ok()) Notice(ended);
      if (!interrupter_.Sleep(PauseAfter(failures))) return Interrupted();
      const absl::Status ready =
          WaitReady(absl::Now() + options_.retry_window, /*give_up_on_failure=*/false);
      if (!ready.ok()) return ready;
    }
  }

  const Endpoint endpoint_;
  ClientOptions options_;
  Interrupter& interrupter_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<HostService::Stub> hosts_;
  std::unique_ptr<ImageService::Stub> images_;
  std::unique_ptr<InstanceService::Stub> instances_;
  std::unique_ptr<OperationService::Stub> operations_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Connect(const Endpoint& endpoint,
                                                        ClientOptions options,
                                                        Interrupter& interrupter) {
  auto client = std::make_unique<GrpcClient>(endpoint, std::move(options), interrupter);
  if (absl::Status status = client->FirstConnect(); !status.ok()) return status;
  return client;
}

}  // namespace cvm::cli
