// SPDX-License-Identifier: Apache-2.0
//
// An agent that answers as a test tells it, over real gRPC on a unix socket.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cvm/agent/v1/host_service.pb.h"
#include "cvm/agent/v1/image_service.pb.h"
#include "cvm/agent/v1/instance_service.pb.h"
#include "cvm/agent/v1/operation_service.pb.h"
#include "cvm/agent/v1/volume_service.pb.h"

namespace cvm::cli {

template <typename Request, typename Response>
using Answer = std::function<absl::StatusOr<Response>(const Request&)>;

// The server's side of a stream. `send` is false when the client is gone.
template <typename Request, typename Event>
using StreamAnswer =
    std::function<absl::Status(const Request&, const std::function<bool(const Event&)>& send,
                               const std::function<bool()>& cancelled)>;

// What is not set answers NOT_IMPLEMENTED. The functions run on the server's threads.
struct Script {
  Answer<agent::v1::GetHostRequest, agent::v1::Host> get_host;
  Answer<agent::v1::SetMaintenanceRequest, agent::v1::Operation> set_maintenance;
  Answer<agent::v1::StopGuestsRequest, agent::v1::Operation> stop_guests;
  Answer<agent::v1::GetVolumeRequest, agent::v1::Volume> get_volume;
  Answer<agent::v1::ListVolumesRequest, agent::v1::ListVolumesResponse> list_volumes;
  Answer<agent::v1::DeleteVolumeRequest, agent::v1::Operation> delete_volume;
  Answer<agent::v1::ImportImageRequest, agent::v1::Operation> import_image;
  Answer<agent::v1::GetImageRequest, agent::v1::Image> get_image;
  Answer<agent::v1::ListImagesRequest, agent::v1::ListImagesResponse> list_images;
  Answer<agent::v1::DeleteImageRequest, agent::v1::Operation> delete_image;
  Answer<agent::v1::CreateInstanceRequest, agent::v1::Operation> create_instance;
  Answer<agent::v1::GetInstanceRequest, agent::v1::Instance> get_instance;
  Answer<agent::v1::ListInstancesRequest, agent::v1::ListInstancesResponse> list_instances;
  Answer<agent::v1::RestoreInstanceRequest, agent::v1::Operation> restore_instance;
  Answer<agent::v1::ResizeInstanceRequest, agent::v1::Operation> resize_instance;
  Answer<agent::v1::ReinstallInstanceRequest, agent::v1::Operation> reinstall_instance;
  Answer<agent::v1::EnterRescueRequest, agent::v1::Operation> enter_rescue;
  Answer<agent::v1::ExitRescueRequest, agent::v1::Operation> exit_rescue;
  Answer<agent::v1::UpdateInstanceRequest, agent::v1::Operation> update_instance;
  Answer<agent::v1::DeleteInstanceRequest, agent::v1::Operation> delete_instance;
  Answer<agent::v1::StartInstanceRequest, agent::v1::Operation> start_instance;
  Answer<agent::v1::StopInstanceRequest, agent::v1::Operation> stop_instance;
  Answer<agent::v1::RebootInstanceRequest, agent::v1::Operation> reboot_instance;
  Answer<agent::v1::GetScreenshotRequest, agent::v1::Screenshot> get_screenshot;
  Answer<agent::v1::GetOperationRequest, agent::v1::Operation> get_operation;
  Answer<agent::v1::ListOperationsRequest, agent::v1::ListOperationsResponse> list_operations;
  Answer<agent::v1::CancelOperationRequest, agent::v1::Operation> cancel_operation;
  StreamAnswer<agent::v1::WatchOperationRequest, agent::v1::Operation> watch_operation;
  StreamAnswer<agent::v1::WatchInstancesRequest, agent::v1::InstanceEvent> watch_instances;
  std::function<absl::Status(const agent::v1::StreamSerialRequest& first,
                             const std::function<std::optional<std::string>()>& read,
                             const std::function<bool(const std::string&)>& write)>
      stream_serial;
};

class FakeAgent {
 public:
  // `script` outlives it and is not changed while calls are made.
  FakeAgent(const std::string& socket_path, const Script& script);
  ~FakeAgent();
  FakeAgent(const FakeAgent&) = delete;
  FakeAgent& operator=(const FakeAgent&) = delete;

 private:
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace cvm::cli
