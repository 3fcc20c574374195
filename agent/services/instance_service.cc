// SPDX-License-Identifier: Apache-2.0
#include "agent/services/instance_service.h"

#include "agent/services/answer.h"
#include "agent/services/caller.h"
#include "agent/services/stream_serial.h"
#include "agent/services/watch_instances.h"
#include "common/errors.h"
#include "fmt/format.h"

namespace cvm::agent::services {
namespace {

// Serial ports that can be opened or written to at the same instant.
constexpr size_t kSerialWorkers = 4;

grpc::ByteBuffer ToByteBuffer(std::string bytes) {
  auto* const owned = new std::string(std::move(bytes));
  const grpc::Slice slice(
      owned->data(), owned->size(), [](void* held) { delete static_cast<std::string*>(held); },
      owned);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

core::Caller CallerOf(const grpc::ServerContextBase& context) {
  return {.scope = context.peer().starts_with("unix:") ? "local" : "loopback"};
}

InstanceServiceImpl::InstanceServiceImpl(core::InstanceManager& manager, core::InstanceTable& table,
                                         std::string run_id)
    : manager_(manager), table_(table), run_id_(std::move(run_id)), workers_(kSerialWorkers) {}

grpc::Status InstanceServiceImpl::CreateInstance(grpc::ServerContext* context,
                                                 const v1::CreateInstanceRequest* request,
                                                 v1::Operation* response) {
  return Answer(manager_.Create(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::AdoptInstance(grpc::ServerContext* context,
                                                const v1::AdoptInstanceRequest* request,
                                                v1::Operation* response) {
  return Answer(manager_.Adopt(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::GetInstance(grpc::ServerContext*,
                                              const v1::GetInstanceRequest* request,
                                              v1::Instance* response) {
  const absl::StatusOr<core::InstancePtr> instance = manager_.Get(request->instance_id());
  if (instance.ok()) {
    *response = **instance;
    for (v1::DeniedAction& denied : manager_.Denied(**instance)) {
      *response->add_denied_actions() = std::move(denied);
    }
  }
  return ToGrpc(instance.status());
}

grpc::ServerUnaryReactor* InstanceServiceImpl::ListInstances(grpc::CallbackServerContext* context,
                                                             const grpc::ByteBuffer* request,
                                                             grpc::ByteBuffer* response) {
  v1::ListInstancesRequest parsed;
  grpc::ByteBuffer bytes = *request;
  grpc::Status status =
      grpc::SerializationTraits<v1::ListInstancesRequest>::Deserialize(&bytes, &parsed);
  if (status.ok()) {
    const absl::StatusOr<core::InstancePage> page = manager_.List(parsed);
    status = ToGrpc(page.status());
    if (page.ok()) *response = ToByteBuffer(Serialize(*page));
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

grpc::Status InstanceServiceImpl::DeleteInstance(grpc::ServerContext* context,
                                                 const v1::DeleteInstanceRequest* request,
                                                 v1::Operation* response) {
  return Answer(manager_.Delete(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::RestoreInstance(grpc::ServerContext* context,
                                                  const v1::RestoreInstanceRequest* request,
                                                  v1::Operation* response) {
  return Answer(manager_.Restore(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::ResizeInstance(grpc::ServerContext* context,
                                                 const v1::ResizeInstanceRequest* request,
                                                 v1::Operation* response) {
  return Answer(manager_.Resize(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::UpdateInstance(grpc::ServerContext* context,
                                                 const v1::UpdateInstanceRequest* request,
                                                 v1::Operation* response) {
  return Answer(manager_.Update(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::StartInstance(grpc::ServerContext* context,
                                                const v1::StartInstanceRequest* request,
                                                v1::Operation* response) {
  return Answer(manager_.Start(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::StopInstance(grpc::ServerContext* context,
                                               const v1::StopInstanceRequest* request,
                                               v1::Operation* response) {
  return Answer(manager_.Stop(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::RebootInstance(grpc::ServerContext* context,
                                                 const v1::RebootInstanceRequest* request,
                                                 v1::Operation* response) {
  return Answer(manager_.Reboot(CallerOf(*context), *request), response);
}

grpc::Status InstanceServiceImpl::GetScreenshot(grpc::ServerContext*,
                                                const v1::GetScreenshotRequest* request,
                                                v1::Screenshot* response) {
  return Answer(manager_.GetScreenshot(request->instance_id()), response);
}

grpc::ServerWriteReactor<v1::InstanceEvent>* InstanceServiceImpl::WatchInstances(
    grpc::CallbackServerContext*, const v1::WatchInstancesRequest* request) {
  return StartWatchInstances(table_, run_id_, request->resume_token());
}

grpc::ServerBidiReactor<v1::StreamSerialRequest, v1::StreamSerialResponse>*
InstanceServiceImpl::StreamSerial(grpc::CallbackServerContext*) {
  return StartStreamSerial(manager_, workers_);
}

grpc::Status InstanceServiceImpl::NotThereYet(std::string_view method) {
  return ToGrpc(Error(ErrorReason::ERROR_REASON_NOT_IMPLEMENTED,
                      fmt::format("{} is not there yet in this version", method)));
}

}  // namespace cvm::agent::services
