// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/connection_keeper.h"

#include <libvirt/virterror.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/callback_targets.h"
#include "drivers/hypervisor/libvirt/domain_calls.h"
#include "drivers/hypervisor/libvirt/libvirt_errors.h"
#include "fmt/format.h"

namespace cvm::hypervisor {

struct ConnectionKeeper::State {
  State(std::shared_ptr<ConnectionState> c, std::shared_ptr<EventHub> h)
      : connection(std::move(c)), hub(std::move(h)) {}

  const std::shared_ptr<ConnectionState> connection;
  const std::shared_ptr<EventHub> hub;
  mutable Mutex mutex;
  CondVar changed;
  bool stopping CVM_GUARDED_BY(mutex) = false;
  bool ended CVM_GUARDED_BY(mutex) = true;
  // The connection of this generation is lost.
  uint64_t lost_generation CVM_GUARDED_BY(mutex) = 0;
  std::string lost_reason CVM_GUARDED_BY(mutex);
  std::optional<HostInventory> host CVM_GUARDED_BY(mutex);

  void Lose(uint64_t generation, std::string reason) {
    MutexLock lock(mutex);
    if (generation <= lost_generation) return;
    lost_generation = generation;
    lost_reason = std::move(reason);
    changed.NotifyAll();
  }
  // Waits up to `limit`; true when the connection of this generation is lost or shall end.
  bool WaitForTheEndOf(uint64_t generation, absl::Duration limit) {
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(limit);
    MutexLock lock(mutex);
    while (!stopping && lost_generation != generation) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left.count() <= 0) return false;
      changed.WaitFor(mutex, left);
    }
    return true;
  }
  bool Stopping() const {
    MutexLock lock(mutex);
    return stopping;
  }
};

namespace {

// What libvirt's callbacks act on.
struct Context {
  std::shared_ptr<ConnectionState> connection;
  std::shared_ptr<EventHub> hub;
  std::function<void(std::string)> lose;
  uint64_t generation = 0;
};

using Contexts = CallbackTargets<Context>;

const char* CloseReason(int reason) {
  switch (reason) {
    case VIR_CONNECT_CLOSE_REASON_EOF:
      return "the daemon ended the connection";
    case VIR_CONNECT_CLOSE_REASON_KEEPALIVE:
      return "the daemon does not answer to keepalive";
    case VIR_CONNECT_CLOSE_REASON_CLIENT:
      return "the connection was closed";
    default:
      return "the connection broke";
  }
}

void OnClose(virConnectPtr, int reason, void* handle) {
  if (const auto context = Contexts::Instance().Find(handle)) context->lose(CloseReason(reason));
}

int OnLifecycle(virConnectPtr, virDomainPtr domain, int event, int detail, void* handle) {
  const auto context = Contexts::Instance().Find(handle);
  if (context == nullptr) return 0;
  context->connection->Answered();
  char uuid[VIR_UUID_STRING_BUFLEN] = {};
  virDomainGetUUIDString(domain, uuid);
  context->hub->Lifecycle(context->generation, uuid, virDomainGetName(domain), event, detail);
  return 0;
}

void OnReboot(virConnectPtr, virDomainPtr domain, void* handle) {
  const auto context = Contexts::Instance().Find(handle);
  if (context == nullptr) return;
  context->connection->Answered();
  char uuid[VIR_UUID_STRING_BUFLEN] = {};
  virDomainGetUUIDString(domain, uuid);
  context->hub->Rebooted(context->generation, uuid, virDomainGetName(domain));
}

void TellMemoryChanged(virDomainPtr domain, void* handle) {
  const auto context = Contexts::Instance().Find(handle);
  if (context == nullptr) return;
  context->connection->Answered();
  char uuid[VIR_UUID_STRING_BUFLEN] = {};
  virDomainGetUUIDString(domain, uuid);
  context->hub->MemoryChanged(context->generation, uuid, virDomainGetName(domain));
}

void OnMemoryDeviceSize(virConnectPtr, virDomainPtr domain, const char* /*alias*/,
                        unsigned long long /*size*/, void* handle) {
  TellMemoryChanged(domain, handle);
}

void OnBalloon(virConnectPtr, virDomainPtr domain, unsigned long long /*actual*/, void* handle) {
  TellMemoryChanged(domain, handle);
}

// One connection with its registrations; taken down by the destructor.
class Session {
 public:
  Session(ConnectHandle connection, Context context)
      : connection_(std::move(connection)),
        context_(std::make_shared<Context>(std::move(context))),
        handle_(Contexts::Instance().Add(context_)) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    for (const int id : callbacks_) virConnectDomainEventDeregisterAny(connection_.get(), id);
    if (has_close_callback_) virConnectUnregisterCloseCallback(connection_.get(), OnClose);
    Contexts::Instance().Remove(handle_);
  }

  absl::Status Register() {
    // A driver that loses no connection takes the callback and forgets it.
    if (virConnectRegisterCloseCallback(connection_.get(), OnClose, handle_, nullptr) == 0) {
      has_close_callback_ = true;
    } else if (LastLibvirtCode() != VIR_ERR_NO_SUPPORT) {
      return LastLibvirtError("watch its connection");
    }
    CVM_RETURN_IF_ERROR(
        RegisterEvent(VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(OnLifecycle)));
    CVM_RETURN_IF_ERROR(
        RegisterEvent(VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(OnReboot)));
    CVM_RETURN_IF_ERROR(RegisterEvent(VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE,
                                      VIR_DOMAIN_EVENT_CALLBACK(OnMemoryDeviceSize)));
    return RegisterEvent(VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(OnBalloon));
  }

  virConnectPtr get() const { return connection_.get(); }

  // Asks for a sign of life. Blocks as long as the daemon does.
  bool Answers() {
    unsigned long version = 0;
    return virConnectGetLibVersion(connection_.get(), &version) == 0;
  }

 private:
  absl::Status RegisterEvent(int id, virConnectDomainEventGenericCallback callback) {
    const int registered = virConnectDomainEventRegisterAny(connection_.get(), nullptr, id,
                                                            callback, handle_, nullptr);
    if (registered < 0) return LastLibvirtError("send events");
    callbacks_.push_back(registered);
    return absl::OkStatus();
  }

  const ConnectHandle connection_;
  const std::shared_ptr<Context> context_;
  void* const handle_;
  std::vector<int> callbacks_;
  bool has_close_callback_ = false;
};

}  // namespace

ConnectionKeeper::ConnectionKeeper(std::shared_ptr<ConnectionState> connection,
                                   std::shared_ptr<EventHub> hub)
    : state_(std::make_shared<State>(std::move(connection), std::move(hub))) {}

ConnectionKeeper::~ConnectionKeeper() { Stop(state_->connection->options.stop_grace); }

void ConnectionKeeper::Start() {
  {
    MutexLock lock(state_->mutex);
    if (state_->stopping) return;
    state_->ended = false;
  }
  MutexLock lock(thread_mutex_);
  thread_ = std::thread([state = state_] {
    Run(state);
    MutexLock lock(state->mutex);
    state->ended = true;
    state->changed.NotifyAll();
  });
}

void ConnectionKeeper::Stop(absl::Duration grace) {
  bool ended = false;
  {
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(grace);
    MutexLock lock(state_->mutex);
    state_->stopping = true;
    state_->changed.NotifyAll();
    while (!state_->ended) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left.count() <= 0) break;
      state_->changed.WaitFor(state_->mutex, left);
    }
    ended = state_->ended;
  }
  MutexLock lock(thread_mutex_);
  if (!thread_.joinable()) return;
  if (ended) {
    thread_.join();
  } else {
    CVM_LOG_WARNING("libvirt's connection hangs; its thread is left behind");
    thread_.detach();
  }
}

absl::StatusOr<HostInventory> ConnectionKeeper::Host() const {
  MutexLock lock(state_->mutex);
  if (!state_->host.has_value())
    return Unavailable("there has been no connection to its daemon yet");
  return *state_->host;
}

void ConnectionKeeper::Run(const std::shared_ptr<State>& state) {
  const LibvirtOptions& options = state->connection->options;
  absl::Duration pause = options.reconnect_min;

  // Runs one connection from its opening to its end; an error says why it could not be set up.
  const auto run_session = [&](uint64_t generation) -> absl::Status {
    CVM_ASSIGN_OR_RETURN(ConnectHandle connection, OpenConnection(options));
    state->hub->Begin(generation);
    Context context;
    context.connection = state->connection;
    context.hub = state->hub;
    context.generation = generation;
    context.lose = [weak = std::weak_ptr<State>(state), generation](std::string reason) {
      if (const auto alive = weak.lock()) alive->Lose(generation, std::move(reason));
    };
    Session session(std::move(connection), std::move(context));
    CVM_RETURN_IF_ERROR(session.Register());
    CVM_ASSIGN_OR_RETURN(HostInventory host, ReadHost(session.get()));
    CVM_ASSIGN_OR_RETURN(const std::vector<DomainStatus> domains, ListDomains(session.get()));
    CVM_LOG_INFO("connected to libvirt {} ({}, {} domains)", host.info.libvirt_version,
                 host.info.kvm ? "KVM" : "no KVM", domains.size());
    {
      MutexLock lock(state->mutex);
      state->host = std::move(host);
      if (state->stopping) return absl::OkStatus();
      if (state->lost_generation == generation) return Unavailable(state->lost_reason);
    }
    state->connection->generation = generation;
    state->connection->Answered();
    state->hub->Connected(generation, domains);
    pause = options.reconnect_min;
    // A daemon that does not answer any more is for keepalive to give up; until then the age of its
    // last answer tells.
    while (!state->WaitForTheEndOf(generation, options.answer_interval)) {
      if (session.Answers()) state->connection->Answered();
    }
    MutexLock lock(state->mutex);
    state->connection->generation = 0;
    if (state->stopping) return absl::OkStatus();
    CVM_LOG_WARNING("libvirt's connection is lost: {}", state->lost_reason);
    state->hub->Disconnected(state->lost_reason, state->connection->SinceLastAnswer());
    return absl::OkStatus();
  };

  for (uint64_t generation = 1; !state->Stopping(); ++generation) {
    const absl::Status status = run_session(generation);
    MutexLock lock(state->mutex);
    if (state->stopping) return;
    if (!status.ok()) {
      CVM_LOG_WARNING("no connection to libvirt: {}", std::string(status.message()));
      state->hub->Disconnected(std::string(status.message()), state->connection->SinceLastAnswer());
    } else if (state->lost_generation != generation) {
      continue;
    }
    const auto until = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(pause);
    while (!state->stopping) {
      const auto left = until - std::chrono::steady_clock::now();
      if (left.count() <= 0) break;
      state->changed.WaitFor(state->mutex, left);
    }
    pause = std::min(pause * 2, options.reconnect_max);
  }
}

}  // namespace cvm::hypervisor
