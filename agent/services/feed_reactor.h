// SPDX-License-Identifier: Apache-2.0
//
// What the streams of a feed have in common: a queue of their own, which is filled from the feed
// whenever it is empty. A slow client costs no memory: it falls behind until the feed no longer
// knows what it missed, and then starts anew. A stream resumes by a token of the run of the agent
// and of the sequence in the feed.
#pragma once

#include <charconv>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "agent/core/notifier.h"
#include "agent/core/paging.h"
#include "common/grpc_status.h"
#include "common/mutex.h"
#include "grpcpp/support/server_callback.h"

namespace cvm::agent::services {

// Owns itself.
template <class Message>
class FeedReactor : public grpc::ServerWriteReactor<Message> {
 public:
  explicit FeedReactor(std::string run_id) : run_id_(std::move(run_id)) {}

  // Once, by the handler of the call, which then returns the reactor.
  void Start(const std::string& resume_token) {
    {
      MutexLock lock(mutex_);
      bool resumes = false;
      if (!resume_token.empty()) {
        const absl::StatusOr<std::string> token = core::ParsePageToken(resume_token);
        if (!token.ok()) {
          FinishLocked(ToGrpc(token.status()));
          return;
        }
        resumes = ParseToken(*token);
      }
      // A token of another run of the agent says nothing of this one's feed.
      if (!resumes) Begin(/*resync=*/!resume_token.empty());
    }
    subscription_ = Subscribe([this] { Pump(); });
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

 protected:
  virtual std::unique_ptr<core::Notifier::Subscription> Subscribe(std::function<void()> notify) = 0;
  // Pushes what a stream begins with, after a RESYNC when the client missed something.
  virtual void Begin(bool resync) CVM_REQUIRES(mutex_) = 0;
  // Pushes what came after sequence_, or begins anew.
  virtual void PushChanges() CVM_REQUIRES(mutex_) = 0;

  void Push(Message message) CVM_REQUIRES(mutex_) { queue_.push_back(std::move(message)); }
  std::string Token() const CVM_REQUIRES(mutex_) {
    return core::MakePageToken(run_id_ + "/" + std::to_string(sequence_));
  }

  Mutex mutex_;
  // The last that was pushed.
  uint64_t sequence_ CVM_GUARDED_BY(mutex_) = 0;

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
    this->StartWrite(&current_);
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
    this->Finish(status);
  }

  const std::string run_id_;
  std::unique_ptr<core::Notifier::Subscription> subscription_;
  std::deque<Message> queue_ CVM_GUARDED_BY(mutex_);
  Message current_ CVM_GUARDED_BY(mutex_);
  bool writing_ CVM_GUARDED_BY(mutex_) = false;
  bool finished_ CVM_GUARDED_BY(mutex_) = false;
};

}  // namespace cvm::agent::services
