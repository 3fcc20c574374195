// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/console.h"

#include <libvirt/virterror.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "common/errors.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/callback_targets.h"
#include "drivers/hypervisor/libvirt/connection.h"
#include "drivers/hypervisor/libvirt/domain_calls.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"

namespace cvm::hypervisor {
namespace {

constexpr size_t kMaxWriteBytes = 16384;
constexpr absl::Duration kWriteDeadline = absl::Seconds(10);

using Receivers = CallbackTargets<ConsoleReceiver>;

// A stream does not always tell that its connection is lost.
void OnConnectionClose(virConnectPtr, int, void* handle) {
  if (const auto receiver = Receivers::Instance().Find(handle)) {
    receiver->Close(Unavailable("its daemon ended the connection"));
  }
}

void OnEvent(virStreamPtr stream, int events, void* handle) {
  if (const auto receiver = Receivers::Instance().Find(handle)) {
    receiver->OnStreamEvent(stream, events);
  }
}

// The stream and its connection, shared with calls under way.
struct Port {
  explicit Port(const std::shared_ptr<ConsoleReceiver>& receiver)
      : handle(Receivers::Instance().Add(receiver)) {}
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  ~Port() {
    if (connection != nullptr) {
      virConnectUnregisterCloseCallback(connection.get(), OnConnectionClose);
    }
    if (stream != nullptr) {
      virStreamEventRemoveCallback(stream.get());
      virStreamAbort(stream.get());
    }
    Receivers::Instance().Remove(handle);
  }

  void* const handle;
  // Ends after the stream.
  ConnectHandle connection;
  StreamHandle stream;
};

class LibvirtConsole final : public ConsoleSession {
 public:
  LibvirtConsole(std::shared_ptr<Port> port, std::shared_ptr<ConsoleReceiver> receiver,
                 const std::shared_ptr<CallLane>& lane)
      : port_(std::move(port)), receiver_(std::move(receiver)), lane_(lane) {}

  ~LibvirtConsole() override {
    receiver_->Detach();
    // Closing asks the daemon, so it is not for this thread to wait for, nor to let go of last.
    const auto holder = std::make_shared<std::shared_ptr<Port>>(std::move(port_));
    const auto close = [holder] { holder->reset(); };
    const auto lane = lane_.lock();
    if (lane == nullptr ||
        !lane->Post([close](const absl::StatusOr<virConnectPtr>&) { close(); })) {
      std::thread(close).detach();
    }
  }

  absl::StatusOr<size_t> Write(std::string_view input) override {
    const auto lane = lane_.lock();
    if (receiver_->ended() || lane == nullptr) {
      return Error(ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE, "The console has ended.");
    }
    std::string part(input.substr(0, kMaxWriteBytes));
    return lane->Call(
        kWriteDeadline,
        [port = port_, part = std::move(part)](virConnectPtr) -> absl::StatusOr<size_t> {
          const int sent = virStreamSend(port->stream.get(), part.data(), part.size());
          if (sent >= 0) return static_cast<size_t>(sent);
          // The stream is full.
          if (sent == -2) return size_t{0};
          return LastLibvirtError("write to the console");
        });
  }

 private:
  std::shared_ptr<Port> port_;
  const std::shared_ptr<ConsoleReceiver> receiver_;
  const std::weak_ptr<CallLane> lane_;
};

// Why a console that was open has ended.
absl::Status EndReason(const absl::StatusOr<virConnectPtr>& connection, const std::string& uuid) {
  CVM_RETURN_IF_ERROR(connection.status());
  CVM_ASSIGN_OR_RETURN(const DomainStatus status, GetDomain(*connection, uuid));
  if (status.state == PowerState::kStopped || status.reason == "shutting-down") {
    return WrongState(status.name, "stopped");
  }
  return Error(ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS,
               "Another session took over the console of domain '" + status.name + "'.");
}

}  // namespace

ConsoleReceiver::ConsoleReceiver(std::string uuid, std::shared_ptr<SerialQueue> queue,
                                 const std::shared_ptr<CallLane>& lane, ConsoleHandler handler)
    : uuid_(std::move(uuid)), queue_(std::move(queue)), lane_(lane), sink_(std::move(handler)) {}

void ConsoleReceiver::OnStreamEvent(virStreamPtr stream, int events) {
  bool end = (events & (VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP)) != 0;
  std::string output;
  while ((events & VIR_STREAM_EVENT_READABLE) != 0) {
    char buffer[16384];
    const int got = virStreamRecv(stream, buffer, sizeof(buffer));
    if (got > 0) {
      output.append(buffer, static_cast<size_t>(got));
      continue;
    }
    // -2: no more for now.
    if (got != -2) end = true;
    break;
  }
  if (!output.empty()) OnOutput(std::move(output));
  if (end) {
    virStreamEventRemoveCallback(stream);
    OnEnd();
  }
}

void ConsoleReceiver::OnOutput(std::string output) {
  const size_t size = output.size();
  if (pending_bytes_.fetch_add(size) > kMaxPendingConsoleBytes) {
    pending_bytes_ -= size;
    CVM_LOG_DEBUG("dropped {} bytes of console output of domain {}", size, uuid_);
    return;
  }
  queue_->Post([self = shared_from_this(), output = std::move(output)] {
    self->sink_.Deliver(output);
    self->pending_bytes_ -= output.size();
  });
}

void ConsoleReceiver::OnEnd() {
  if (ended_.exchange(true)) return;
  const auto tell = [self = shared_from_this()](const absl::StatusOr<virConnectPtr>& connection) {
    const absl::Status reason = EndReason(connection, self->uuid_);
    self->queue_->Post([self, reason] { self->sink_.Close(reason); });
  };
  const auto lane = lane_.lock();
  if (lane == nullptr || !lane->Post(tell)) tell(Unavailable("the agent is stopping"));
}

void ConsoleReceiver::Close(const absl::Status& reason) {
  if (ended_.exchange(true)) return;
  queue_->Post([self = shared_from_this(), reason] { self->sink_.Close(reason); });
}

void ConsoleReceiver::Detach() {
  ended_ = true;
  sink_.Detach();
}

absl::StatusOr<std::unique_ptr<ConsoleSession>> OpenLibvirtConsole(
    const LibvirtOptions& options, const std::string& uuid, bool take_over,
    std::shared_ptr<ConsoleReceiver> receiver, const std::shared_ptr<CallLane>& lane) {
  const auto port = std::make_shared<Port>(receiver);
  CVM_ASSIGN_OR_RETURN(port->connection, OpenConnection(options));
  CVM_ASSIGN_OR_RETURN(const DomainHandle domain, FindDomain(port->connection.get(), uuid));
  StreamHandle stream(virStreamNew(port->connection.get(), VIR_STREAM_NONBLOCK));
  if (stream == nullptr) return LastLibvirtError("open the console");
  const unsigned flags = take_over ? VIR_DOMAIN_CONSOLE_FORCE : 0;
  if (virDomainOpenConsole(domain.get(), nullptr, stream.get(), flags) < 0) {
    // libvirt has no number of its own for this.
    const virError* error = virGetLastError();
    if (error != nullptr && error->code == VIR_ERR_OPERATION_FAILED && error->message != nullptr &&
        std::strstr(error->message, "Active console session exists") != nullptr) {
      return Error(ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS,
                   "The console is open in another session: take it over, or try again later.");
    }
    return LastLibvirtError("open the console");
  }
  port->stream = std::move(stream);
  if (virConnectRegisterCloseCallback(port->connection.get(), OnConnectionClose, port->handle,
                                      nullptr) < 0) {
    return LastLibvirtError("watch the console's connection");
  }
  if (virStreamEventAddCallback(
          port->stream.get(),
          VIR_STREAM_EVENT_READABLE | VIR_STREAM_EVENT_ERROR | VIR_STREAM_EVENT_HANGUP, OnEvent,
          port->handle, nullptr) < 0) {
    return LastLibvirtError("watch the console");
  }
  return std::make_unique<LibvirtConsole>(port, std::move(receiver), lane);
}

}  // namespace cvm::hypervisor
