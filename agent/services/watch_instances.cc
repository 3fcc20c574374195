// SPDX-License-Identifier: Apache-2.0
#include "agent/services/watch_instances.h"

#include "agent/services/feed_reactor.h"

namespace cvm::agent::services {
namespace {

using v1::InstanceEvent;

class WatchInstancesReactor final : public FeedReactor<InstanceEvent> {
 public:
  WatchInstancesReactor(core::InstanceTable& table, std::string run_id)
      : FeedReactor(std::move(run_id)), table_(table) {}

 private:
  std::unique_ptr<core::Notifier::Subscription> Subscribe(std::function<void()> notify) override {
    return table_.Subscribe(std::move(notify));
  }

  void Begin(bool resync) override CVM_REQUIRES(mutex_) {
    if (resync) PushEvent(InstanceEvent::RESYNC, nullptr, "");
    const core::InstanceTable::Snapshot snapshot = table_.TakeSnapshot();
    sequence_ = snapshot.sequence;
    for (const core::InstancePtr& instance : snapshot.instances) {
      PushEvent(InstanceEvent::CHANGED, instance, instance->id());
    }
    PushEvent(InstanceEvent::SYNCED, nullptr, "");
  }

  void PushChanges() override CVM_REQUIRES(mutex_) {
    const auto changes = table_.ChangesAfter(sequence_);
    if (!changes) {
      Begin(/*resync=*/true);
      return;
    }
    for (const core::InstanceChange& change : *changes) {
      sequence_ = change.sequence;
      PushEvent(change.instance == nullptr ? InstanceEvent::DELETED : InstanceEvent::CHANGED,
                change.instance, change.id);
    }
  }

  void PushEvent(InstanceEvent::Kind kind, const core::InstancePtr& instance, const std::string& id)
      CVM_REQUIRES(mutex_) {
    InstanceEvent event;
    event.set_kind(kind);
    if (instance != nullptr) {
      *event.mutable_instance() = *instance;
    } else if (!id.empty()) {
      event.mutable_instance()->set_id(id);
    }
    // Within a snapshot there is nothing to resume from before its end.
    if (kind != InstanceEvent::RESYNC) event.set_resume_token(Token());
    Push(std::move(event));
  }

  core::InstanceTable& table_;
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
