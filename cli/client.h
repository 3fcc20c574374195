// SPDX-License-Identifier: Apache-2.0
//
// The agent, called. The only place of cvmctl that knows gRPC.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cli/endpoint.h"
#include "cli/interrupter.h"
#include "cvm/agent/v1/host_service.pb.h"
#include "cvm/agent/v1/image_service.pb.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "cvm/agent/v1/operation_service.pb.h"

namespace cvm::cli {

struct ClientOptions {
  // Of each call that answers at once.
  absl::Duration call_timeout = absl::Seconds(30);
  // Of everything together.
  absl::Time deadline = absl::InfiniteFuture();
  // How long a broken connection may stay broken.
  absl::Duration retry_window = absl::Seconds(30);
  // Told, in words for people, that a connection broke and is being made again.
  std::function<void(std::string_view)> notice;
};

// A guest's serial port. Read() and Write() may be called from two threads at once.
class SerialSession {
 public:
  virtual ~SerialSession() = default;
  // Waits for output; nothing at the end of the session.
  virtual std::optional<std::string> Read() = 0;
  // False when the session has ended.
  virtual bool Write(const std::string& input) = 0;
  // Ends the session; Read() then returns nothing. Thread-safe.
  virtual void Leave() = 0;
  // After Read() returned nothing: why the session ended; OK after Leave().
  virtual absl::Status Finish() = 0;
};

// Every call is made again, a bounded number of times and after the connection is back, when the
// connection broke under it or the agent was just stopping. For a mutating call that is safe
// because of its request_id, which must therefore be set: the agent runs a request once. A signal
// ends any call with CANCELLED. Errors carry the agent's reason, see common/errors.h. Not
// thread-safe.
class Client {
 public:
  // Connects, so that an agent that is not there is told at once: UNAVAILABLE.
  static absl::StatusOr<std::unique_ptr<Client>> Connect(const Endpoint& endpoint,
                                                         ClientOptions options,
                                                         Interrupter& interrupter);
  virtual ~Client() = default;

  // Instead of the options' deadline, from now on: for cleaning up after it has passed.
  virtual void SetDeadline(absl::Time deadline) = 0;

  virtual absl::StatusOr<agent::v1::Host> GetHost(const agent::v1::GetHostRequest& request) = 0;

  virtual absl::StatusOr<agent::v1::CheckHostResponse> CheckHost(
      const agent::v1::CheckHostRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> RepairHost(
      const agent::v1::RepairHostRequest& request) = 0;

  virtual absl::StatusOr<agent::v1::Operation> ImportImage(
      const agent::v1::ImportImageRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Image> GetImage(const agent::v1::GetImageRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::ListImagesResponse> ListImages(
      const agent::v1::ListImagesRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> DeleteImage(
      const agent::v1::DeleteImageRequest& request) = 0;

  virtual absl::StatusOr<agent::v1::Operation> CreateInstance(
      const agent::v1::CreateInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> AdoptInstance(
      const agent::v1::AdoptInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Instance> GetInstance(
      const agent::v1::GetInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::ListInstancesResponse> ListInstances(
      const agent::v1::ListInstancesRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> RestoreInstance(
      const agent::v1::RestoreInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> ResizeInstance(
      const agent::v1::ResizeInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> UpdateInstance(
      const agent::v1::UpdateInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> DeleteInstance(
      const agent::v1::DeleteInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> StartInstance(
      const agent::v1::StartInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> StopInstance(
      const agent::v1::StopInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> RebootInstance(
      const agent::v1::RebootInstanceRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Screenshot> GetScreenshot(
      const agent::v1::GetScreenshotRequest& request) = 0;

  virtual absl::StatusOr<agent::v1::Operation> GetOperation(
      const agent::v1::GetOperationRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::ListOperationsResponse> ListOperations(
      const agent::v1::ListOperationsRequest& request) = 0;
  virtual absl::StatusOr<agent::v1::Operation> CancelOperation(
      const agent::v1::CancelOperationRequest& request) = 0;

  // Calls `on_event` with the operation's present state and each one after it until it returns
  // false. After a break the present state comes again.
  virtual absl::Status WatchOperation(
      const std::string& operation_id,
      const std::function<bool(const agent::v1::Operation&)>& on_event) = 0;
  // The same for every instance; goes on after a break where it was.
  virtual absl::Status WatchInstances(
      const std::function<bool(const agent::v1::InstanceEvent&)>& on_event) = 0;
  // The same for what happens on the host.
  virtual absl::Status WatchEvents(
      const std::function<bool(const agent::v1::HostEvent&)>& on_event) = 0;
  // Ended by the deadline of the options, and by a signal. A break ends it.
  virtual std::unique_ptr<SerialSession> OpenSerial(
      const agent::v1::StreamSerialRequest& first) = 0;
};

}  // namespace cvm::cli
