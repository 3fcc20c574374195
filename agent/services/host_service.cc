// SPDX-License-Identifier: Apache-2.0
#include "agent/services/host_service.h"

#include "agent/services/answer.h"
#include "agent/services/caller.h"
#include "agent/services/watch_events.h"

namespace cvm::agent::services {

grpc::Status HostServiceImpl::GetHost(grpc::ServerContext*, const v1::GetHostRequest*,
                                      v1::Host* response) {
  return Answer(view_.Get(), response);
}

grpc::Status HostServiceImpl::CheckHost(grpc::ServerContext*, const v1::CheckHostRequest*,
                                        v1::CheckHostResponse* response) {
  return Answer(manager_.Check(), response);
}

grpc::Status HostServiceImpl::RepairHost(grpc::ServerContext* context,
                                         const v1::RepairHostRequest* request,
                                         v1::Operation* response) {
  return Answer(manager_.Repair(CallerOf(*context), *request), response);
}

grpc::ServerWriteReactor<v1::HostEvent>* HostServiceImpl::WatchEvents(
    grpc::CallbackServerContext*, const v1::WatchEventsRequest* request) {
  return StartWatchEvents(manager_.events(), run_id_, request->resume_token());
}

}  // namespace cvm::agent::services
