// SPDX-License-Identifier: Apache-2.0
#include "agent/services/watch_events.h"

#include "agent/services/feed_reactor.h"

namespace cvm::agent::services {
namespace {

using v1::HostEvent;

class WatchEventsReactor final : public FeedReactor<HostEvent> {
 public:
  WatchEventsReactor(core::EventLog& log, std::string run_id)
      : FeedReactor(std::move(run_id)), log_(log) {}

 private:
  std::unique_ptr<core::Notifier::Subscription> Subscribe(std::function<void()> notify) override {
    return log_.Subscribe(std::move(notify));
  }

  void Begin(bool resync) override CVM_REQUIRES(mutex_) {
    if (resync) {
      HostEvent event;
      event.set_kind(HostEvent::RESYNC);
      event.set_message("events are missing: what is kept follows");
      Push(std::move(event));
    }
    PushAll(log_.Kept());
  }

  void PushChanges() override CVM_REQUIRES(mutex_) {
    const auto entries = log_.After(sequence_);
    entries ? PushAll(*entries) : Begin(/*resync=*/true);
  }

  void PushAll(const std::vector<core::EventLog::Entry>& entries) CVM_REQUIRES(mutex_) {
    for (const core::EventLog::Entry& entry : entries) {
      sequence_ = entry.sequence;
      HostEvent event = entry.event;
      event.set_resume_token(Token());
      Push(std::move(event));
    }
  }

  core::EventLog& log_;
};

}  // namespace

grpc::ServerWriteReactor<HostEvent>* StartWatchEvents(core::EventLog& log,
                                                      const std::string& run_id,
                                                      const std::string& resume_token) {
  auto* reactor = new WatchEventsReactor(log, run_id);
  reactor->Start(resume_token);
  return reactor;
}

}  // namespace cvm::agent::services
