// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/cli/fake_agent.h"

#include <chrono>
#include <cstdlib>

#include "common/errors.h"
#include "common/grpc_status.h"
#include "cvm/agent/v1/host_service.grpc.pb.h"
#include "cvm/agent/v1/image_service.grpc.pb.h"
#include "cvm/agent/v1/instance_service.grpc.pb.h"
#include "cvm/agent/v1/operation_service.grpc.pb.h"
#include "cvm/agent/v1/volume_service.grpc.pb.h"
#include "grpcpp/grpcpp.h"

namespace cvm::cli {
namespace {

using namespace agent::v1;  // NOLINT(google-build-using-namespace): every message of the API.
using Context = grpc::ServerContext;

absl::Status NotScripted() {
  return Error(common::v1::ERROR_REASON_NOT_IMPLEMENTED, "the test has no answer to this");
}

template <typename Request, typename Response>
grpc::Status Reply(const Answer<Request, Response>& answer, const Request* request,
                   Response* response) {
  if (!answer) return ToGrpc(NotScripted());
  auto result = answer(*request);
  if (!result.ok()) return ToGrpc(result.status());
  *response = *std::move(result);
  return grpc::Status::OK;
}

template <typename Request, typename Event>
grpc::Status Stream(const StreamAnswer<Request, Event>& answer, Context* context,
                    const Request* request, grpc::ServerWriter<Event>* writer) {
  if (!answer) return ToGrpc(NotScripted());
  return ToGrpc(answer(
      *request, [&](const Event& event) { return writer->Write(event); },
      [&] { return context->IsCancelled(); }));
}

class Hosts final : public HostService::Service {
 public:
  explicit Hosts(const Script& script) : script_(script) {}
  grpc::Status GetHost(Context*, const GetHostRequest* request, Host* response) override {
    return Reply(script_.get_host, request, response);
  }
  grpc::Status SetMaintenance(Context*, const SetMaintenanceRequest* request,
                              Operation* response) override {
    return Reply(script_.set_maintenance, request, response);
  }
  grpc::Status StopGuests(Context*, const StopGuestsRequest* request,
                          Operation* response) override {
    return Reply(script_.stop_guests, request, response);
  }

 private:
  const Script& script_;
};

class Volumes final : public VolumeService::Service {
 public:
  explicit Volumes(const Script& script) : script_(script) {}
  grpc::Status GetVolume(Context*, const GetVolumeRequest* request, Volume* response) override {
    return Reply(script_.get_volume, request, response);
  }
  grpc::Status ListVolumes(Context*, const ListVolumesRequest* request,
                           ListVolumesResponse* response) override {
    return Reply(script_.list_volumes, request, response);
  }
  grpc::Status DeleteVolume(Context*, const DeleteVolumeRequest* request,
                            Operation* response) override {
    return Reply(script_.delete_volume, request, response);
  }

 private:
  const Script& script_;
};

class Images final : public ImageService::Service {
 public:
  explicit Images(const Script& script) : script_(script) {}
  grpc::Status ImportImage(Context*, const ImportImageRequest* request,
                           Operation* response) override {
    return Reply(script_.import_image, request, response);
  }
  grpc::Status GetImage(Context*, const GetImageRequest* request, Image* response) override {
    return Reply(script_.get_image, request, response);
  }
  grpc::Status ListImages(Context*, const ListImagesRequest* request,
                          ListImagesResponse* response) override {
    return Reply(script_.list_images, request, response);
  }
  grpc::Status DeleteImage(Context*, const DeleteImageRequest* request,
                           Operation* response) override {
    return Reply(script_.delete_image, request, response);
  }

 private:
  const Script& script_;
};

class Instances final : public InstanceService::Service {
 public:
  explicit Instances(const Script& script) : script_(script) {}
  grpc::Status CreateInstance(Context*, const CreateInstanceRequest* request,
                              Operation* response) override {
    return Reply(script_.create_instance, request, response);
  }
  grpc::Status GetInstance(Context*, const GetInstanceRequest* request,
                           Instance* response) override {
    return Reply(script_.get_instance, request, response);
  }
  grpc::Status ListInstances(Context*, const ListInstancesRequest* request,
                             ListInstancesResponse* response) override {
    return Reply(script_.list_instances, request, response);
  }
  grpc::Status RestoreInstance(Context*, const RestoreInstanceRequest* request,
                               Operation* response) override {
    return Reply(script_.restore_instance, request, response);
  }
  grpc::Status ResizeInstance(Context*, const ResizeInstanceRequest* request,
                              Operation* response) override {
    return Reply(script_.resize_instance, request, response);
  }
  grpc::Status ReinstallInstance(Context*, const ReinstallInstanceRequest* request,
                                 Operation* response) override {
    return Reply(script_.reinstall_instance, request, response);
  }
  grpc::Status EnterRescue(Context*, const EnterRescueRequest* request,
                           Operation* response) override {
    return Reply(script_.enter_rescue, request, response);
  }
  grpc::Status ExitRescue(Context*, const ExitRescueRequest* request,
                          Operation* response) override {
    return Reply(script_.exit_rescue, request, response);
  }
  grpc::Status UpdateInstance(Context*, const UpdateInstanceRequest* request,
                              Operation* response) override {
    return Reply(script_.update_instance, request, response);
  }
  grpc::Status DeleteInstance(Context*, const DeleteInstanceRequest* request,
                              Operation* response) override {
    return Reply(script_.delete_instance, request, response);
  }
  grpc::Status StartInstance(Context*, const StartInstanceRequest* request,
                             Operation* response) override {
    return Reply(script_.start_instance, request, response);
  }
  grpc::Status StopInstance(Context*, const StopInstanceRequest* request,
                            Operation* response) override {
    return Reply(script_.stop_instance, request, response);
  }
  grpc::Status RebootInstance(Context*, const RebootInstanceRequest* request,
                              Operation* response) override {
    return Reply(script_.reboot_instance, request, response);
  }
  grpc::Status GetScreenshot(Context*, const GetScreenshotRequest* request,
                             Screenshot* response) override {
    return Reply(script_.get_screenshot, request, response);
  }
  grpc::Status WatchInstances(Context* context, const WatchInstancesRequest* request,
                              grpc::ServerWriter<InstanceEvent>* writer) override {
    return Stream(script_.watch_instances, context, request, writer);
  }
  grpc::Status StreamSerial(
      Context*,
      grpc::ServerReaderWriter<StreamSerialResponse, StreamSerialRequest>* stream) override {
    StreamSerialRequest first;
    if (!script_.stream_serial || !stream->Read(&first)) return ToGrpc(NotScripted());
    const auto read = [&]() -> std::optional<std::string> {
      StreamSerialRequest request;
      if (!stream->Read(&request)) return std::nullopt;
      return request.input();
    };
    const auto write = [&](const std::string& output) {
      StreamSerialResponse response;
      response.set_output(output);
      return stream->Write(response);
    };
    return ToGrpc(script_.stream_serial(first, read, write));
  }

 private:
  const Script& script_;
};

class Operations final : public OperationService::Service {
 public:
  explicit Operations(const Script& script) : script_(script) {}
  grpc::Status GetOperation(Context*, const GetOperationRequest* request,
                            Operation* response) override {
    return Reply(script_.get_operation, request, response);
  }
  grpc::Status ListOperations(Context*, const ListOperationsRequest* request,
                              ListOperationsResponse* response) override {
    return Reply(script_.list_operations, request, response);
  }
  grpc::Status CancelOperation(Context*, const CancelOperationRequest* request,
                               Operation* response) override {
    return Reply(script_.cancel_operation, request, response);
  }
  grpc::Status WatchOperation(Context* context, const WatchOperationRequest* request,
                              grpc::ServerWriter<Operation>* writer) override {
    return Stream(script_.watch_operation, context, request, writer);
  }

 private:
  const Script& script_;
};

}  // namespace

struct FakeAgent::Server {
  explicit Server(const Script& script)
      : hosts(script), images(script), instances(script), operations(script), volumes(script) {}
  Hosts hosts;
  Images images;
  Instances instances;
  Operations operations;
  Volumes volumes;
  std::unique_ptr<grpc::Server> server;
};

FakeAgent::FakeAgent(const std::string& socket_path, const Script& script)
    : server_(std::make_unique<Server>(script)) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
  builder.RegisterService(&server_->hosts);
  builder.RegisterService(&server_->images);
  builder.RegisterService(&server_->instances);
  builder.RegisterService(&server_->operations);
  builder.RegisterService(&server_->volumes);
  server_->server = builder.BuildAndStart();
  if (server_->server == nullptr) std::abort();
}

FakeAgent::~FakeAgent() { server_->server->Shutdown(std::chrono::system_clock::now()); }

}  // namespace cvm::cli
