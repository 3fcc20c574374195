// SPDX-License-Identifier: Apache-2.0
//
// Calls of libvirt with deadlines.
//
// libvirt's calls cannot be interrupted. They run on a bounded number of workers; the caller waits
// for the result no longer than its deadline. A call that overruns keeps its worker busy until
// libvirt returns (at the latest when keepalive gives the daemon up); its result is dropped then.
// Each worker has a connection of its own, because libvirtd handles only a few requests of one
// connection at a time: calls that hang would hold up all others on it.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "drivers/hypervisor/libvirt/connection.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"
#include "fmt/format.h"

namespace cvm::hypervisor {

// Thread-safe.
class CallLane {
 public:
  // Receives the worker's connection, valid during the call, or why there is none.
  using Job = std::function<void(absl::StatusOr<virConnectPtr>)>;

  CallLane(std::shared_ptr<ConnectionState> connection, size_t workers);
  // As Stop(), with the grace of the options.
  ~CallLane();
  CallLane(const CallLane&) = delete;
  CallLane& operator=(const CallLane&) = delete;

  // Runs the job on a worker. False, and the job is not run, when too many wait or after Stop().
  bool Post(Job job);

  // Runs `work`, a function of a virConnectPtr that returns Status or StatusOr, and waits for it.
  // `work` must own all that it uses: it may run after the caller is gone.
  template <class Work>
  auto Call(absl::Duration deadline, Work work) -> std::invoke_result_t<Work, virConnectPtr>;

  // Calls that have not begun end with HYPERVISOR_UNAVAILABLE. Waits up to `grace` for the workers
  // and leaves those behind that still hang: they end when libvirt returns, their callers at their
  // deadlines.
  void Stop(absl::Duration grace);

 private:
  struct State;
  static void RunWorker(const std::shared_ptr<State>& state);

  const std::shared_ptr<State> state_;
  Mutex threads_mutex_;
  std::vector<std::thread> threads_ CVM_GUARDED_BY(threads_mutex_);
};

template <class Work>
auto CallLane::Call(absl::Duration deadline, Work work)
    -> std::invoke_result_t<Work, virConnectPtr> {
  using Result = std::invoke_result_t<Work, virConnectPtr>;
  struct Shared {
    Mutex mutex;
    CondVar done;
    std::optional<Result> result CVM_GUARDED_BY(mutex);
    bool abandoned CVM_GUARDED_BY(mutex) = false;
  };
  const auto shared = std::make_shared<Shared>();
  const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(deadline);
  const bool posted =
      Post([shared, work = std::move(work)](absl::StatusOr<virConnectPtr> connection) {
        {
          MutexLock lock(shared->mutex);
          if (shared->abandoned) return;
        }
        Result result = connection.ok() ? work(*connection) : Result(connection.status());
        MutexLock lock(shared->mutex);
        shared->result = std::move(result);
        shared->done.NotifyAll();
      });
  if (!posted) return Unavailable("too many calls wait for it, or the agent is stopping");
  MutexLock lock(shared->mutex);
  while (!shared->result.has_value()) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) {
      shared->abandoned = true;
      return Unavailable(fmt::format("no answer within {}", absl::FormatDuration(deadline)));
    }
    shared->done.WaitFor(shared->mutex, left);
  }
  return *std::exchange(shared->result, std::nullopt);
}

}  // namespace cvm::hypervisor
