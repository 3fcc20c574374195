// SPDX-License-Identifier: Apache-2.0
#include "agent/services/operation_service.h"

#include <grpcpp/alarm.h>

#include <charconv>

#include "agent/core/paging.h"
#include "agent/services/answer.h"
#include "common/errors.h"
#include "common/status_macros.h"
#include "fmt/format.h"

namespace cvm::agent::services {
namespace {

using v1::Operation;
using Observation = core::OperationEngine::Observation;

constexpr absl::Duration kDefaultWait = absl::Seconds(60);
constexpr absl::Duration kLongestWait = absl::Hours(1);

void SetElapsed(const Clock& clock, Operation& operation) {
  const absl::Time end =
      operation.has_end_time() ? FromTimestamp(operation.end_time()) : clock.Now();
  *operation.mutable_elapsed() =
      ToProtoDuration(std::max(absl::ZeroDuration(), end - FromTimestamp(operation.create_time())));
}

// Answers when the operation has ended or the time is up. Kept alive by itself until gRPC is done
// with it, and by its alarm until that has fired.
class WaitReactor final : public grpc::ServerUnaryReactor,
                          public std::enable_shared_from_this<WaitReactor> {
 public:
  WaitReactor(const Clock& clock, Operation* response) : clock_(clock), response_(response) {}

  void Start(core::OperationEngine& engine, const std::string& id, absl::Duration timeout) {
    self_ = shared_from_this();
    absl::StatusOr<std::shared_ptr<Observation>> observation =
        engine.Observe(id, [weak = weak_from_this()](const Operation& operation) {
          if (const auto self = weak.lock()) self->OnChange(operation);
        });
    if (!observation.ok()) {
      End(ToGrpc(observation.status()));
      return;
    }
    MutexLock lock(mutex_);
    if (finished_) return;
    observation_ = *std::move(observation);
    alarm_.Set(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout),
               [self = shared_from_this()](bool) { self->End(grpc::Status::OK); });
  }

  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override { self_.reset(); }

 private:
  void OnChange(const Operation& operation) {
    {
      MutexLock lock(mutex_);
      if (finished_) return;
      *response_ = operation;
      SetElapsed(clock_, *response_);
    }
    if (operation.state() != Operation::OPERATING) End(grpc::Status::OK);
  }

  void End(const grpc::Status& status) {
    std::shared_ptr<Observation> observation;
    {
      MutexLock lock(mutex_);
      if (std::exchange(finished_, true)) return;
      // Dropped after the lock: it may be its last owner, and it tells under a lock of its own.
      observation = std::move(observation_);
    }
    alarm_.Cancel();
    Finish(status);
  }

  const Clock& clock_;
  Operation* const response_;
  std::shared_ptr<WaitReactor> self_;
  grpc::Alarm alarm_;
  Mutex mutex_;
  std::shared_ptr<Observation> observation_ CVM_GUARDED_BY(mutex_);
  bool finished_ CVM_GUARDED_BY(mutex_) = false;
};

// Sends the newest state; those that a slow client missed are skipped, the last is not.
class WatchReactor final : public grpc::ServerWriteReactor<Operation>,
                           public std::enable_shared_from_this<WatchReactor> {
 public:
  WatchReactor(const Clock& clock, uint64_t after_revision)
      : clock_(clock), after_revision_(after_revision) {}

  void Start(core::OperationEngine& engine, const std::string& id) {
    self_ = shared_from_this();
    absl::StatusOr<std::shared_ptr<Observation>> observation =
        engine.Observe(id, [weak = weak_from_this()](const Operation& operation) {
          if (const auto self = weak.lock()) self->OnChange(operation);
        });
    MutexLock lock(mutex_);
    if (!observation.ok()) {
      FinishLocked(ToGrpc(observation.status()));
      return;
    }
    observation_ = *std::move(observation);
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
    std::shared_ptr<Observation> observation;
    {
      MutexLock lock(mutex_);
      observation = std::move(observation_);
    }
    self_.reset();
  }

 private:
  void OnChange(const Operation& operation) {
    MutexLock lock(mutex_);
    const bool ended = operation.state() != Operation::OPERATING;
    if (operation.revision() <= after_revision_ && !ended) return;
    next_ = operation;
    PumpLocked();
  }

  void PumpLocked() CVM_REQUIRES(mutex_) {
    if (writing_ || finished_) return;
    if (!next_) {
      if (last_sent_) FinishLocked(grpc::Status::OK);
      return;
    }
    current_ = *std::exchange(next_, std::nullopt);
    SetElapsed(clock_, current_);
    last_sent_ = current_.state() != Operation::OPERATING;
    writing_ = true;
    StartWrite(&current_);
  }

  void FinishLocked(const grpc::Status& status) CVM_REQUIRES(mutex_) {
    if (!std::exchange(finished_, true)) Finish(status);
  }

  const Clock& clock_;
  const uint64_t after_revision_;
  std::shared_ptr<WatchReactor> self_;
  Mutex mutex_;
  std::shared_ptr<Observation> observation_ CVM_GUARDED_BY(mutex_);
  std::optional<Operation> next_ CVM_GUARDED_BY(mutex_);
  Operation current_ CVM_GUARDED_BY(mutex_);
  bool writing_ CVM_GUARDED_BY(mutex_) = false;
  bool last_sent_ CVM_GUARDED_BY(mutex_) = false;
  bool finished_ CVM_GUARDED_BY(mutex_) = false;
};

absl::StatusOr<v1::ListOperationsResponse> List(const core::OperationEngine& engine,
                                                const Clock& clock,
                                                const v1::ListOperationsRequest& request) {
  CVM_ASSIGN_OR_RETURN(const size_t size, core::PageSize(request.page_size()));
  CVM_ASSIGN_OR_RETURN(const std::string token, core::ParsePageToken(request.page_token()));
  OperationFilter filter{.target_id = request.target_id(),
                         .unfinished_only = request.unfinished_only(),
                         .after = std::nullopt,
                         .limit = size + 1};
  if (!token.empty()) {
    const size_t slash = token.find('/');
    int64_t created = 0;
    if (slash == std::string::npos ||
        std::from_chars(token.data(), token.data() + slash, created).ec != std::errc()) {
      return Error(ErrorReason::ERROR_REASON_INVALID_PAGE_TOKEN,
                   "page_token must be a next_page_token of this call", {{"field", "page_token"}});
    }
    filter.after = {created, token.substr(slash + 1)};
  }
  CVM_ASSIGN_OR_RETURN(std::vector<Operation> page, engine.List(filter));
  v1::ListOperationsResponse response;
  const bool more = page.size() > size;
  if (more) page.pop_back();
  for (Operation& operation : page) {
    SetElapsed(clock, operation);
    *response.add_operations() = std::move(operation);
  }
  if (more) {
    const Operation& last = response.operations(response.operations_size() - 1);
    response.set_next_page_token(core::MakePageToken(
        fmt::format("{}/{}", absl::ToUnixNanos(FromTimestamp(last.create_time())), last.id())));
  }
  return response;
}

absl::StatusOr<absl::Duration> WaitTimeout(const v1::WaitOperationRequest& request) {
  if (!request.has_timeout()) return kDefaultWait;
  const absl::Duration timeout = FromProtoDuration(request.timeout());
  if (timeout < absl::ZeroDuration() || timeout > kLongestWait) {
    return InvalidField("timeout", "must be 0 to 1 h");
  }
  return timeout;
}

}  // namespace

grpc::Status OperationServiceImpl::GetOperation(grpc::ServerContext*,
                                                const v1::GetOperationRequest* request,
                                                Operation* response) {
  absl::StatusOr<Operation> operation = engine_.Get(request->operation_id());
  if (operation.ok()) SetElapsed(clock_, *operation);
  return Answer(std::move(operation), response);
}

grpc::Status OperationServiceImpl::ListOperations(grpc::ServerContext*,
                                                  const v1::ListOperationsRequest* request,
                                                  v1::ListOperationsResponse* response) {
  return Answer(List(engine_, clock_, *request), response);
}

grpc::Status OperationServiceImpl::CancelOperation(grpc::ServerContext*,
                                                   const v1::CancelOperationRequest* request,
                                                   Operation* response) {
  if (!request->request_id().empty()) {
    const absl::Status form = CheckRequestId(request->request_id());
    if (!form.ok()) return ToGrpc(form);
  }
  return Answer(engine_.Cancel(request->operation_id(), request->validate_only()), response);
}

grpc::ServerUnaryReactor* OperationServiceImpl::WaitOperation(
    grpc::CallbackServerContext* context, const v1::WaitOperationRequest* request,
    Operation* response) {
  const absl::StatusOr<absl::Duration> timeout = WaitTimeout(*request);
  if (!timeout.ok()) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(ToGrpc(timeout.status()));
    return reactor;
  }
  const auto reactor = std::make_shared<WaitReactor>(clock_, response);
  reactor->Start(engine_, request->operation_id(), *timeout);
  return reactor.get();
}

grpc::ServerWriteReactor<Operation>* OperationServiceImpl::WatchOperation(
    grpc::CallbackServerContext*, const v1::WatchOperationRequest* request) {
  const auto reactor = std::make_shared<WatchReactor>(clock_, request->after_revision());
  reactor->Start(engine_, request->operation_id());
  return reactor.get();
}

}  // namespace cvm::agent::services
