// SPDX-License-Identifier: Apache-2.0
//
// The machine behind FakeHypervisor: it keeps its domains when the hypervisor object is destroyed,
// so that a test can end an agent and start another one on the same host. It also plays the guests,
// the faults and the people who change domains behind the agent's back. Thread-safe.
//
// Its guests answer as the tiny test guest does: a prompt and an echo on the console, the power
// button obeyed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/mutex.h"
#include "drivers/hypervisor/domain_spec.h"
#include "drivers/hypervisor/hypervisor.h"

namespace cvm::hypervisor {

// The calls that can be made to fail. GetHostInfo and ResolveMachineType answer from a cache.
enum class FakeMethod {
  kListDomains,
  kGetDomain,
  kDefineDomain,
  kStartDomain,
  kShutdownDomain,
  kDestroyDomain,
  kRebootDomain,
  kResetDomain,
  kUndefineDomain,
  kGetDomainSize,
  kAddVcpus,
  kRequestHotplugMemory,
  kSetBalloon,
  kTakeScreenshot,
  kOpenConsole,
  kGetDomainMetadata,
  kSetDomainMetadata,
  kGetDomainDefinition,
  kGetDiskBytes,
  kSetAutostart,
};

// What becomes of a call that hung.
enum class HungOutcome {
  kAnswered,      // it goes on as if nothing had been
  kTimedOut,      // HYPERVISOR_UNAVAILABLE, nothing done
  kTimedOutDone,  // HYPERVISOR_UNAVAILABLE, but the work was done
};

struct FakeCall {
  FakeMethod method = FakeMethod::kListDomains;
  std::string uuid;
  // False: nothing has been done yet. True: the work is done, the answer is not yet given.
  bool done = false;
};

class FakeHost {
 public:
  FakeHost();
  ~FakeHost();
  FakeHost(const FakeHost&) = delete;
  FakeHost& operator=(const FakeHost&) = delete;

  // What GetHostInfo and ResolveMachineType answer. Set before the first connection.
  void SetHostInfo(HostInfo info);
  void SetMachineTypes(std::string q35, std::string pc);

  // --- Faults ---

  // The next `times` calls of the method fail with `status` and do nothing.
  void FailNext(FakeMethod method, const absl::Status& status, int times = 1);
  // The next call of the method does its work, then fails with `status`: the answer is lost.
  void LoseNextAnswer(FakeMethod method, absl::Status status);
  // The next call of the method blocks until ReleaseHung(), Disconnect() or the end of its caller.
  void HangNext(FakeMethod method);
  // What these three have set up and no call has met yet is forgotten.
  void ForgetFaults();
  // Whether a call hangs, waiting for that up to `timeout`.
  bool WaitForHung(FakeMethod method, absl::Duration timeout = absl::Seconds(10));
  void ReleaseHung(FakeMethod method, HungOutcome outcome);
  // The connection is lost: calls fail, consoles end, no events. Reconnect() delivers kConnected
  // with the full list. A host begins connected.
  void Disconnect(std::string message = "libvirtd is gone");
  // The hypervisor has not answered for so long, though nobody has noticed; until Reconnect().
  void SetUnanswered(absl::Duration unanswered);
  void Reconnect();
  // Called on the calling thread before and after the work of each call, without a lock. A status
  // that is not OK is what the caller gets; before the work, the work is then not done. Nullptr:
  // none.
  void SetHook(std::function<absl::Status(const FakeCall&)> hook);

  // --- Guests ---

  // These fail with DOMAIN_NOT_FOUND or INVALID_INSTANCE_STATE, as the calls of Hypervisor do.
  absl::Status GuestShutsDown(const std::string& uuid);
  absl::Status GuestReboots(const std::string& uuid);
  absl::Status GuestPanics(const std::string& uuid);
  // QEMU died.
  absl::Status GuestIsKilled(const std::string& uuid);
  // reason: "io-error", "user", ...
  absl::Status GuestPauses(const std::string& uuid, std::string reason);
  absl::Status GuestResumes(const std::string& uuid);
  // A guest that ignores the request to shut down or reboot. Both are obeyed by default.
  absl::Status IgnoreShutdown(const std::string& uuid, bool ignore);
  absl::Status IgnoreReboot(const std::string& uuid, bool ignore);
  // A guest that does not act on requests for memory, which others do at once. GuestTakesMemory
  // lets either have this much of its virtio-mem device.
  absl::Status IgnoreMemory(const std::string& uuid, bool ignore);
  absl::Status GuestTakesMemory(const std::string& uuid, uint64_t mib);
  absl::Status GuestPrints(const std::string& uuid, std::string_view text);

  // --- Others than the agent ---

  void AddForeignDomain(DomainSpec spec, PowerState state, bool persistent);
  absl::Status RemoveDomain(const std::string& uuid);
  absl::Status SetManagedSave(const std::string& uuid, bool saved);
  // Changes the definition of a persistent domain.
  absl::Status EditDomain(const std::string& uuid, const std::function<void(DomainSpec&)>& edit);
  absl::Status SetHostAutostart(const std::string& uuid, bool on);

  // --- Inspection ---

  std::vector<DomainStatus> Domains() const;
  std::optional<DomainSpec> FindSpec(const std::string& uuid) const;
  // Of a domain that is on.
  std::optional<DomainSize> SizeOf(const std::string& uuid) const;
  bool Autostart(const std::string& uuid) const;
  // How often the domain was started, reset or rebooted.
  int Boots(const std::string& uuid) const;
  // How many calls of the method were made, those that failed included.
  int Calls(FakeMethod method) const;

 private:
  friend class FakeHypervisor;
  friend class FakeConsole;

  struct Client {
    // Must not block; called with the host's lock held.
    std::function<void(const HypervisorEvent&)> on_event;
    bool stopped = false;
  };
  struct Console {
    std::shared_ptr<Client> client;
    // Must not block; called with the host's lock held.
    std::function<void(std::string)> on_output;
    std::function<void(absl::Status)> on_closed;
  };
  struct Domain {
    DomainSpec spec;
    PowerState state = PowerState::kStopped;
    std::string reason = "unknown";
    bool persistent = true;
    bool managed_save = false;
    bool autostart = false;
    bool ignore_shutdown = false;
    bool ignore_reboot = false;
    bool ignore_memory = false;
    // While it is on: the hardware that it was started with, and what there is of it now.
    DomainSpec hardware;
    DomainSize size;
    int boots = 0;
    std::shared_ptr<Console> console;

    bool Active() const { return state != PowerState::kStopped; }
    DomainStatus Status() const;
  };
  struct Faults {
    std::vector<absl::Status> failures;
    std::optional<absl::Status> lost_answer;
    bool hang_next = false;
    bool hung = false;
    std::optional<HungOutcome> outcome;
    int calls = 0;
  };

  // Connects: delivers kConnected or kDisconnected, and every later event.
  std::shared_ptr<Client> Attach(std::function<void(const HypervisorEvent&)> on_event);
  // No event is delivered once it has returned; the client's hung calls end.
  void Detach(const std::shared_ptr<Client>& client);

  // Runs `work` with the lock held, amid the faults and the hook. `work` returns a Status or
  // StatusOr.
  template <class Work>
  auto Call(FakeMethod method, const std::string& uuid, const std::shared_ptr<Client>& client,
            Work work) -> decltype(work());
  // The status with which the call ends before its work is done, or OK; `*lost` is what it ends
  // with afterwards.
  absl::Status Enter(FakeMethod method, const std::shared_ptr<Client>& client, absl::Status* lost);
  absl::Status RunHook(FakeMethod method, const std::string& uuid, bool done);
  absl::Status CheckConnected(const std::shared_ptr<Client>& client) const CVM_REQUIRES(mutex_);

  absl::StatusOr<Domain*> Find(const std::string& uuid) CVM_REQUIRES(mutex_);
  absl::StatusOr<Domain*> FindActive(const std::string& uuid) CVM_REQUIRES(mutex_);
  std::vector<DomainStatus> List() const CVM_REQUIRES(mutex_);
  void Emit(HypervisorEvent::Kind kind, const DomainStatus& status) CVM_REQUIRES(mutex_);
  void EmitAll(const HypervisorEvent& event) CVM_REQUIRES(mutex_);
  // Changes the state and emits the event.
  void SetState(Domain& domain, PowerState state, std::string reason) CVM_REQUIRES(mutex_);
  // Ends the domain's run: consoles close, a transient domain vanishes.
  void TurnOff(Domain& domain, std::string reason) CVM_REQUIRES(mutex_);
  void Boot(Domain& domain) CVM_REQUIRES(mutex_);
  // fake_sizes.cc
  void TakeHardware(Domain& domain) CVM_REQUIRES(mutex_);
  absl::Status AddVcpus(const std::string& uuid, uint32_t vcpus) CVM_REQUIRES(mutex_);
  absl::Status RequestHotplugMemory(const std::string& uuid, uint64_t mib) CVM_REQUIRES(mutex_);
  absl::Status SetBalloon(const std::string& uuid, uint64_t mib) CVM_REQUIRES(mutex_);
  void CloseConsole(Domain& domain, const absl::Status& reason) CVM_REQUIRES(mutex_);

  absl::Status Define(const DomainSpec& spec) CVM_REQUIRES(mutex_);
  absl::Status Start(const std::string& uuid) CVM_REQUIRES(mutex_);
  absl::Status Shutdown(const std::string& uuid) CVM_REQUIRES(mutex_);
  absl::Status Destroy(const std::string& uuid) CVM_REQUIRES(mutex_);
  absl::Status Reboot(const std::string& uuid) CVM_REQUIRES(mutex_);
  absl::Status Reset(const std::string& uuid) CVM_REQUIRES(mutex_);
  absl::Status Undefine(const std::string& uuid) CVM_REQUIRES(mutex_);
  absl::Status SetAutostart(const std::string& uuid, bool on) CVM_REQUIRES(mutex_);

  mutable Mutex mutex_;
  CondVar changed_;
  HostInfo info_ CVM_GUARDED_BY(mutex_);
  std::string machine_q35_ CVM_GUARDED_BY(mutex_) = "pc-q35-7.2";
  std::string machine_pc_ CVM_GUARDED_BY(mutex_) = "pc-i440fx-7.2";
  bool connected_ CVM_GUARDED_BY(mutex_) = true;
  std::string disconnect_message_ CVM_GUARDED_BY(mutex_);
  absl::Duration unanswered_ CVM_GUARDED_BY(mutex_);
  std::map<std::string, Domain> domains_ CVM_GUARDED_BY(mutex_);
  std::map<FakeMethod, Faults> faults_ CVM_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<Client>> clients_ CVM_GUARDED_BY(mutex_);
  std::function<absl::Status(const FakeCall&)> hook_ CVM_GUARDED_BY(mutex_);
};

template <class Work>
auto FakeHost::Call(FakeMethod method, const std::string& uuid,
                    const std::shared_ptr<Client>& client, Work work) -> decltype(work()) {
  absl::Status lost;
  if (absl::Status status = Enter(method, client, &lost); !status.ok()) return status;
  if (absl::Status status = RunHook(method, uuid, false); !status.ok()) return status;
  auto result = [&]() -> decltype(work()) {
    MutexLock lock(mutex_);
    if (absl::Status status = CheckConnected(client); !status.ok()) return status;
    return work();
  }();
  if (absl::Status status = RunHook(method, uuid, true); !status.ok()) return status;
  if (!lost.ok()) return lost;
  return result;
}

}  // namespace cvm::hypervisor
