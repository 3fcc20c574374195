// SPDX-License-Identifier: Apache-2.0
#include "agent/services/stream_serial.h"

#include <memory>
#include <string>
#include <utility>

#include "common/errors.h"
#include "common/grpc_status.h"
#include "common/mutex.h"
#include "common/status_macros.h"

namespace cvm::agent::services {
namespace {

using v1::StreamSerialRequest;
using v1::StreamSerialResponse;

constexpr size_t kMaxInput = 64 << 10;
constexpr size_t kMaxLog = 1 << 20;
// What a client may lag behind before output is dropped; a guest can write faster than it reads.
constexpr size_t kMaxBacklog = 4 << 20;
constexpr size_t kMaxPiece = 64 << 10;
constexpr char kDropped[] = "\r\n[output dropped: the reader is too slow]\r\n";

// Opening the port and writing to it may wait for libvirt, so both are done by the workers, one at
// a time for a stream; reading the next input waits for them. Shared by gRPC, the workers' tasks
// and the console's callbacks.
class StreamSerialReactor final
    : public grpc::ServerBidiReactor<StreamSerialRequest, StreamSerialResponse>,
      public std::enable_shared_from_this<StreamSerialReactor> {
 public:
  StreamSerialReactor(core::InstanceManager& manager, core::WorkerPool& workers)
      : manager_(manager), workers_(workers) {}

  void Start() {
    self_ = shared_from_this();
    StartRead(&request_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      // The client has no more input; a client that only watches keeps the stream open.
      MutexLock lock(mutex_);
      if (!seen_first_) FinishLocked(ToGrpc(MissingField("instance_id")));
      return;
    }
    const bool first = !std::exchange(seen_first_, true);
    workers_.Submit([self = shared_from_this(), first] {
      const absl::Status status = first ? self->Open() : self->WriteInput();
      if (!status.ok()) {
        MutexLock lock(self->mutex_);
        self->FinishLocked(ToGrpc(status));
        return;
      }
      MutexLock lock(self->mutex_);
      if (!self->finished_) self->StartRead(&self->request_);
    });
  }

  void OnWriteDone(bool ok) override {
    MutexLock lock(mutex_);
    writing_ = false;
    if (!ok) {
      FinishLocked(grpc::Status::CANCELLED);
      return;
    }
    PumpLocked();
  }

  void OnCancel() override {
    MutexLock lock(mutex_);
    FinishLocked(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    // Closing the port may wait for libvirt as well.
    workers_.Submit([self = std::move(self_)] { self->Close(); });
  }

 private:
  absl::Status Open() {
    if (request_.log_bytes() > kMaxLog) return InvalidField("log_bytes", "must be at most 1 MiB");
    CVM_ASSIGN_OR_RETURN(const std::string log,
                         manager_.ReadConsoleLog(request_.instance_id(), request_.log_bytes()));
    Add(log);
    hypervisor::ConsoleHandler handler;
    handler.on_output = [weak = weak_from_this()](std::string_view output) {
      if (const auto self = weak.lock()) self->Add(output);
    };
    handler.on_closed = [weak = weak_from_this()](const absl::Status& reason) {
      if (const auto self = weak.lock()) self->OnClosed(reason);
    };
    CVM_ASSIGN_OR_RETURN(
        std::unique_ptr<hypervisor::ConsoleSession> session,
        manager_.OpenSerial(request_.instance_id(), request_.take_over(), std::move(handler)));
    MutexLock lock(mutex_);
    session_ = std::move(session);
    return absl::OkStatus();
  }

  absl::Status WriteInput() {
    if (request_.input().size() > kMaxInput) return InvalidField("input", "at most 64 KiB");
    std::shared_ptr<hypervisor::ConsoleSession> session;
    {
      MutexLock lock(mutex_);
      session = session_;
    }
    std::string_view rest = request_.input();
    while (!rest.empty()) {
      {
        MutexLock lock(mutex_);
        if (finished_) return absl::OkStatus();
      }
      CVM_ASSIGN_OR_RETURN(const size_t taken, session->Write(rest));
      rest.remove_prefix(taken);
      if (taken == 0) {
        // The guest does not read: wait a little, but not so long that a cancel goes unseen.
        MutexLock lock(mutex_);
        if (!finished_) ended_.WaitFor(mutex_, std::chrono::milliseconds(20));
      }
    }
    return absl::OkStatus();
  }

  void Close() {
    std::shared_ptr<hypervisor::ConsoleSession> session;
    MutexLock lock(mutex_);
    session = std::move(session_);
  }

  void Add(std::string_view output) {
    MutexLock lock(mutex_);
    if (finished_) return;
    if (backlog_.size() + output.size() > kMaxBacklog) {
      backlog_ = kDropped;
      output = output.substr(0, kMaxPiece);
    }
    backlog_ += output;
    PumpLocked();
  }

  void OnClosed(const absl::Status& reason) {
    MutexLock lock(mutex_);
    closed_ = ToGrpc(reason);
    PumpLocked();
  }

  void PumpLocked() CVM_REQUIRES(mutex_) {
    if (writing_ || finished_) return;
    if (backlog_.empty()) {
      if (closed_) FinishLocked(*closed_);
      return;
    }
    const size_t size = std::min(backlog_.size(), kMaxPiece);
    response_.set_output(backlog_.substr(0, size));
    backlog_.erase(0, size);
    writing_ = true;
    StartWrite(&response_);
  }

  void FinishLocked(const grpc::Status& status) CVM_REQUIRES(mutex_) {
    if (std::exchange(finished_, true)) return;
    ended_.NotifyAll();
    Finish(status);
  }

  core::InstanceManager& manager_;
  core::WorkerPool& workers_;
  std::shared_ptr<StreamSerialReactor> self_;
  // Read and written only between a read's end and the next one's start.
  StreamSerialRequest request_;
  bool seen_first_ = false;

  Mutex mutex_;
  CondVar ended_;
  std::shared_ptr<hypervisor::ConsoleSession> session_ CVM_GUARDED_BY(mutex_);
  StreamSerialResponse response_ CVM_GUARDED_BY(mutex_);
  std::string backlog_ CVM_GUARDED_BY(mutex_);
  std::optional<grpc::Status> closed_ CVM_GUARDED_BY(mutex_);
  bool writing_ CVM_GUARDED_BY(mutex_) = false;
  bool finished_ CVM_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerBidiReactor<StreamSerialRequest, StreamSerialResponse>* StartStreamSerial(
    core::InstanceManager& manager, core::WorkerPool& workers) {
  const auto reactor = std::make_shared<StreamSerialReactor>(manager, workers);
  reactor->Start();
  return reactor.get();
}

}  // namespace cvm::agent::services
