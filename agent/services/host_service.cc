// SPDX-License-Identifier: Apache-2.0
#include "agent/services/host_service.h"

#include "agent/services/answer.h"

namespace cvm::agent::services {

grpc::Status HostServiceImpl::GetHost(grpc::ServerContext*, const v1::GetHostRequest*,
                                      v1::Host* response) {
  return Answer(view_.Get(), response);
}

}  // namespace cvm::agent::services
