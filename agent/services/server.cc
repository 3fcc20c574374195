// SPDX-License-Identifier: Apache-2.0
#include "agent/services/server.h"

#include <grp.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/support/server_interceptor.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/errors.h"
#include "common/file.h"
#include "common/grpc_status.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "fmt/format.h"
#include "grpc/health/v1/health.pb.h"

namespace cvm::agent::services {
namespace {

// Above the largest answer: 1000 instances, or a screenshot.
constexpr int kMaxMessageBytes = 64 << 20;
// Above the largest request: 16 KiB of user data and some hundred small fields.
constexpr int kMaxRequestBytes = 4 << 20;

// gRPC itself answers a request that is no valid message (a string that is not UTF-8, for one) with
// a bare INTERNAL. All our own errors carry details, so one without them is gRPC's: the client's
// fault, and said so.
class ExplainBadRequest final : public grpc::experimental::Interceptor {
 public:
  void Intercept(grpc::experimental::InterceptorBatchMethods* methods) override {
    using grpc::experimental::InterceptionHookPoints;
    if (methods->QueryInterceptionHookPoint(InterceptionHookPoints::PRE_SEND_STATUS)) {
      const grpc::Status status = methods->GetSendStatus();
      if (status.error_code() == grpc::StatusCode::INTERNAL && status.error_details().empty()) {
        methods->ModifySendStatus(
            ToGrpc(InvalidField("request", "is not a valid message: strings must be UTF-8")));
      }
    }
    methods->Proceed();
  }
};

class ExplainBadRequestFactory final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo*) override {
    return new ExplainBadRequest();
  }
};

absl::Status GiveToGroup(const std::string& path, const std::string& group) {
  if (!group.empty()) {
    char buffer[16384];
    struct group entry {};
    struct group* found = nullptr;
    getgrnam_r(group.c_str(), &entry, buffer, sizeof buffer, &found);
    if (found == nullptr) {
      CVM_LOG_WARNING("there is no group '{}': the socket belongs to the agent's own", group);
    } else if (chown(path.c_str(), static_cast<uid_t>(-1), found->gr_gid) != 0) {
      return absl::InternalError(fmt::format("cannot give {} to group {}", path, group));
    }
  }
  // gRPC made it under a umask that lets nobody else in; only now is it opened to the group.
  if (chmod(path.c_str(), 0660) != 0) {
    return absl::InternalError(fmt::format("cannot set the mode of {}", path));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Config::Listen& listen,
                                                      const std::vector<grpc::Service*>& services) {
  if (listen.socket.size() >= sizeof(sockaddr_un::sun_path)) {
    return absl::InvalidArgumentError("listen.socket: the path is too long for a unix socket");
  }
  const std::string folder = listen.socket.substr(0, listen.socket.rfind('/'));
  CVM_RETURN_IF_ERROR(MakeFolders(folder, 0755));
  // The lock of the state folder is held: whoever left this socket is gone.
  unlink(listen.socket.c_str());

  grpc::EnableDefaultHealthCheckService(true);
  // Reflection describes what is linked in, and nothing else of this program names it.
  grpc::health::v1::HealthCheckRequest::descriptor();
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("cvm-agentd");
  quota.SetMaxThreads(static_cast<int>(listen.max_threads));
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(kMaxRequestBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  builder.AddListeningPort("unix:" + listen.socket, grpc::InsecureServerCredentials());
  int tcp_port = 0;
  if (!listen.tcp.empty()) {
    builder.AddListeningPort(listen.tcp, grpc::InsecureServerCredentials(), &tcp_port);
    // Another process on the port must not share it.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  }
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
  interceptors.push_back(std::make_unique<ExplainBadRequestFactory>());
  builder.experimental().SetInterceptorCreators(std::move(interceptors));

  const mode_t mask = umask(0177);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  umask(mask);
  if (server == nullptr) {
    return absl::UnavailableError(fmt::format("cannot listen on {}{}{}", listen.socket,
                                              listen.tcp.empty() ? "" : " and ", listen.tcp));
  }
  std::unique_ptr<Server> result(new Server(std::move(server), listen.socket));
  CVM_RETURN_IF_ERROR(GiveToGroup(listen.socket, listen.group));
  CVM_LOG_INFO("listening on {}{}", listen.socket,
               listen.tcp.empty() ? "" : fmt::format(" and {} (port {})", listen.tcp, tcp_port));
  return result;
}

Server::~Server() { Shutdown(absl::ZeroDuration()); }

void Server::Shutdown(absl::Duration grace) {
  if (server_ == nullptr) return;
  server_->GetHealthCheckService()->SetServingStatus(false);
  server_->Shutdown(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(grace));
  server_->Wait();
  server_.reset();
  unlink(socket_path_.c_str());
}

}  // namespace cvm::agent::services
