// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/call_lane.h"

#include "common/log.h"

namespace cvm::hypervisor {

struct CallLane::State {
  explicit State(std::shared_ptr<ConnectionState> c) : connection(std::move(c)) {}

  const std::shared_ptr<ConnectionState> connection;
  Mutex mutex;
  CondVar changed;
  std::deque<Job> jobs CVM_GUARDED_BY(mutex);
  bool stopped CVM_GUARDED_BY(mutex) = false;
  size_t running CVM_GUARDED_BY(mutex) = 0;
};

namespace {

// A worker's connection, opened when it is first needed and again after each loss.
class WorkerConnection {
 public:
  explicit WorkerConnection(const ConnectionState& state) : state_(state) {}

  absl::StatusOr<virConnectPtr> Get() {
    const uint64_t generation = state_.generation;
    if (generation == 0) {
      handle_.reset();
      return Unavailable("there is no connection to its daemon");
    }
    if (handle_ != nullptr && generation_ == generation && virConnectIsAlive(handle_.get()) == 1) {
      return handle_.get();
    }
    handle_.reset();
    auto opened = OpenConnection(state_.options);
    if (!opened.ok()) return opened.status();
    handle_ = *std::move(opened);
    generation_ = generation;
    return handle_.get();
  }

 private:
  const ConnectionState& state_;
  ConnectHandle handle_;
  uint64_t generation_ = 0;
};

}  // namespace

CallLane::CallLane(std::shared_ptr<ConnectionState> connection, size_t workers)
    : state_(std::make_shared<State>(std::move(connection))) {
  {
    MutexLock lock(state_->mutex);
    state_->running = workers;
  }
  MutexLock lock(threads_mutex_);
  for (size_t i = 0; i < workers; ++i) {
    threads_.emplace_back([state = state_] { RunWorker(state); });
  }
}

CallLane::~CallLane() { Stop(state_->connection->options.stop_grace); }

bool CallLane::Post(Job job) {
  MutexLock lock(state_->mutex);
  if (state_->stopped || state_->jobs.size() >= state_->connection->options.max_pending) {
    return false;
  }
  state_->jobs.push_back(std::move(job));
  state_->changed.NotifyAll();
  return true;
}

void CallLane::RunWorker(const std::shared_ptr<State>& state) {
  {
    WorkerConnection connection(*state->connection);
    while (true) {
      Job job;
      {
        MutexLock lock(state->mutex);
        while (!state->stopped && state->jobs.empty()) state->changed.Wait(state->mutex);
        if (state->stopped) break;
        job = std::move(state->jobs.front());
        state->jobs.pop_front();
      }
      job(connection.Get());
    }
  }
  MutexLock lock(state->mutex);
  --state->running;
  state->changed.NotifyAll();
}

void CallLane::Stop(absl::Duration grace) {
  std::deque<Job> dropped;
  {
    MutexLock lock(state_->mutex);
    state_->stopped = true;
    dropped.swap(state_->jobs);
    state_->changed.NotifyAll();
  }
  for (const Job& job : dropped) job(Unavailable("the agent is stopping"));
  bool all_ended = false;
  {
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(grace);
    MutexLock lock(state_->mutex);
    while (state_->running > 0) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left.count() <= 0) break;
      state_->changed.WaitFor(state_->mutex, left);
    }
    all_ended = state_->running == 0;
    if (!all_ended) {
      CVM_LOG_WARNING("{} libvirt calls still hang; their threads are left behind",
                      state_->running);
    }
  }
  MutexLock lock(threads_mutex_);
  for (std::thread& thread : threads_) {
    if (all_ended) {
      thread.join();
    } else {
      thread.detach();
    }
  }
  threads_.clear();
}

}  // namespace cvm::hypervisor
