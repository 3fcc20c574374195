// SPDX-License-Identifier: Apache-2.0
#include "agent/services/watch_instances.h"

#include <charconv>
#include <deque>

#include "agent/core/paging.h"
#include "common/errors.h"
#include "common/grpc_status.h"
#include "common/mutex.h"

namespace cvm::agent::services {
namespace {

using v1::InstanceEvent;

// Sends from a queue of its own, which is filled from the table whenever it is empty: a slow client
// costs no memory, it falls behind until the table no longer knows the changes, and then starts
// anew.
class WatchInstancesReactor final : public grpc::ServerWriteReactor<InstanceEvent> {
 public:
  WatchInstancesReactor(core::InstanceTable& table, std::string run_id)
      : table_(table), run_id_(std::move(run_id)) {}

  void Start(const std::string& resume_token) {
    {
      MutexLock lock(mutex_);
      if (!resume_token.empty()) {
        const absl::StatusOr<std::string> token = core::ParsePageToken(resume_token);
        if (!token.ok()) {
          FinishLocked(ToGrpc(token.status()));
          return;
        }
        if (!ParseToken(*token)) {
          // Of another run of the agent.
          Push(InstanceEvent::RESYNC, nullptr, "");
          PushSnapshot();
        }
      } else {
        PushSnapshot();
      }
    }
    subscription_ = table_.Subscribe([this] { Pump(); });
    Pump();
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
    subscription_.reset();
    delete this;
  }

 private:
  void Pump() {
    MutexLock lock(mutex_);
    PumpLocked();
  }

  void PumpLocked() CVM_REQUIRES(mutex_) {
    if (writing_ || finished_) return;
    if (queue_.empty()) PushChanges();
    if (queue_.empty()) return;
    current_ = std::move(queue_.front());
    queue_.pop_front();
    writing_ = true;
    StartWrite(&current_);
  }

  void PushChanges() CVM_REQUIRES(mutex_) {
    const auto changes = table_.ChangesAfter(sequence_);
    if (!changes) {
      Push(InstanceEvent::RESYNC, nullptr, "");
      PushSnapshot();
      return;
    }
    for (const core::InstanceChange& change : *changes) {
      sequence_ = change.sequence;
      Push(change.instance == nullptr ? InstanceEvent::DELETED : InstanceEvent::CHANGED,
           change.instance, change.id);
    }
  }

  void PushSnapshot() CVM_REQUIRES(mutex_) {
    const core::InstanceTable::Snapshot snapshot = table_.TakeSnapshot();
    sequence_ = snapshot.sequence;
    for (const core::InstancePtr& instance : snapshot.instances) {
      Push(InstanceEvent::CHANGED, instance, instance->id());
    }
    Push(InstanceEvent::SYNCED, nullptr, "");
  }

  void Push(InstanceEvent::Kind kind, const core::InstancePtr& instance, const std::string& id)
      CVM_REQUIRES(mutex_) {
    InstanceEvent event;
    event.set_kind(kind);
    if (instance != nullptr) {
      *event.mutable_instance() = *instance;
    } else if (!id.empty()) {
      event.mutable_instance()->set_id(id);
    }
    // Within a snapshot there is nothing to resume from before its end.
    if (kind != InstanceEvent::RESYNC) {
      event.set_resume_token(core::MakePageToken(run_id_ + "/" + std::to_string(sequence_)));
    }
    queue_.push_back(std::move(event));
  }

  bool ParseToken(std::string_view token) CVM_REQUIRES(mutex_) {
    const size_t slash = token.find('/');
    if (slash == std::string_view::npos || token.substr(0, slash) != run_id_) return false;
    const std::string_view number = token.substr(slash + 1);
    return std::from_chars(number.data(), number.data() + number.size(), sequence_).ec ==
           std::errc();
  }

  void FinishLocked(const grpc::Status& status) CVM_REQUIRES(mutex_) {
    if (std::exchange(finished_, true)) return;
    Finish(status);
  }

  core::InstanceTable& table_;
  const std::string run_id_;
  std::unique_ptr<core::InstanceTable::Subscription> subscription_;

  Mutex mutex_;
  std::deque<InstanceEvent> queue_ CVM_GUARDED_BY(mutex_);
  InstanceEvent current_ CVM_GUARDED_BY(mutex_);
  uint64_t sequence_ CVM_GUARDED_BY(mutex_) = 0;
  bool writing_ CVM_GUARDED_BY(mutex_) = false;
  bool finished_ CVM_GUARDED_BY(mutex_) = false;
};

}  // namespace

grpc::ServerWriteReactor<InstanceEvent>* StartWatchInstances(core::InstanceTable& table,
                                                             const std::string& run_id,
                                                             const std::string& resume_token) {
  auto* reactor = new WatchInstancesReactor(table, run_id);
  reactor->Start(resume_token);
  return reactor;
}

}  // namespace cvm::agent::services
