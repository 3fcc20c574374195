// SPDX-License-Identifier: Apache-2.0
//
// The part of FakeHost that tests drive: faults, guests, other people, inspection.
#include <chrono>
#include <utility>

#include "common/status_macros.h"
#include "drivers/hypervisor/fake/fake_errors.h"
#include "drivers/hypervisor/fake/fake_host.h"

namespace cvm::hypervisor {

// --- Faults ---

void FakeHost::FailNext(FakeMethod method, const absl::Status& status, int times) {
  MutexLock lock(mutex_);
  for (int i = 0; i < times; ++i) faults_[method].failures.push_back(status);
}

void FakeHost::LoseNextAnswer(FakeMethod method, absl::Status status) {
  MutexLock lock(mutex_);
  faults_[method].lost_answer = std::move(status);
}

void FakeHost::HangNext(FakeMethod method) {
  MutexLock lock(mutex_);
  faults_[method].hang_next = true;
}

void FakeHost::ForgetFaults() {
  MutexLock lock(mutex_);
  for (auto& [method, faults] : faults_) {
    faults.failures.clear();
    faults.lost_answer.reset();
    faults.hang_next = false;
  }
}

bool FakeHost::WaitForHung(FakeMethod method, absl::Duration timeout) {
  const auto deadline = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(timeout);
  MutexLock lock(mutex_);
  while (!faults_[method].hung) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    changed_.WaitFor(mutex_, left);
  }
  return true;
}

void FakeHost::ReleaseHung(FakeMethod method, HungOutcome outcome) {
  MutexLock lock(mutex_);
  if (!faults_[method].hung) return;
  faults_[method].outcome = outcome;
  changed_.NotifyAll();
}

absl::Status FakeHost::Enter(FakeMethod method, const std::shared_ptr<Client>& client,
                             absl::Status* lost) {
  MutexLock lock(mutex_);
  Faults& faults = faults_[method];
  ++faults.calls;
  CVM_RETURN_IF_ERROR(CheckConnected(client));
  if (!faults.failures.empty()) {
    absl::Status status = std::move(faults.failures.front());
    faults.failures.erase(faults.failures.begin());
    return status;
  }
  if (faults.lost_answer.has_value()) {
    *lost = *std::exchange(faults.lost_answer, std::nullopt);
  }
  if (!std::exchange(faults.hang_next, false)) return absl::OkStatus();
  faults.hung = true;
  faults.outcome.reset();
  changed_.NotifyAll();
  while (!faults.outcome.has_value() && CheckConnected(client).ok()) changed_.Wait(mutex_);
  faults.hung = false;
  const HungOutcome outcome = faults.outcome.value_or(HungOutcome::kTimedOut);
  const absl::Status timed_out = fake::Unavailable("it took too long");
  if (outcome == HungOutcome::kTimedOut) return timed_out;
  if (outcome == HungOutcome::kTimedOutDone) *lost = timed_out;
  return absl::OkStatus();
}

void FakeHost::Disconnect(std::string message) {
  MutexLock lock(mutex_);
  if (!connected_) return;
  connected_ = false;
  disconnect_message_ = std::move(message);
  for (auto& [uuid, domain] : domains_) {
    CloseConsole(domain, fake::Unavailable(disconnect_message_));
  }
  HypervisorEvent event;
  event.kind = HypervisorEvent::Kind::kDisconnected;
  event.message = disconnect_message_;
  event.unanswered = unanswered_;
  EmitAll(event);
  changed_.NotifyAll();
}

void FakeHost::SetUnanswered(absl::Duration unanswered) {
  MutexLock lock(mutex_);
  unanswered_ = unanswered;
}

void FakeHost::Reconnect() {
  MutexLock lock(mutex_);
  unanswered_ = absl::ZeroDuration();
  if (connected_) return;
  connected_ = true;
  HypervisorEvent event;
  event.kind = HypervisorEvent::Kind::kConnected;
  event.domains = List();
  EmitAll(event);
}

void FakeHost::SetHook(std::function<absl::Status(const FakeCall&)> hook) {
  MutexLock lock(mutex_);
  hook_ = std::move(hook);
}

absl::Status FakeHost::RunHook(FakeMethod method, const std::string& uuid, bool done) {
  std::function<absl::Status(const FakeCall&)> hook;
  {
    MutexLock lock(mutex_);
    hook = hook_;
  }
  if (!hook) return absl::OkStatus();
  FakeCall call;
  call.method = method;
  call.uuid = uuid;
  call.done = done;
  return hook(call);
}

// --- Guests ---

absl::Status FakeHost::GuestShutsDown(const std::string& uuid) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  TurnOff(*domain, "shutdown");
  return absl::OkStatus();
}

absl::Status FakeHost::GuestReboots(const std::string& uuid) {
  MutexLock lock(mutex_);
  return Reset(uuid);
}

absl::Status FakeHost::GuestPanics(const std::string& uuid) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  SetState(*domain, PowerState::kCrashed, "panicked");
  TurnOff(*domain, "crashed");
  return absl::OkStatus();
}

absl::Status FakeHost::GuestIsKilled(const std::string& uuid) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  TurnOff(*domain, "crashed");
  return absl::OkStatus();
}

absl::Status FakeHost::GuestPauses(const std::string& uuid, std::string reason) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  SetState(*domain, PowerState::kPaused, std::move(reason));
  return absl::OkStatus();
}

absl::Status FakeHost::GuestResumes(const std::string& uuid) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  SetState(*domain, PowerState::kRunning, "unpaused");
  return absl::OkStatus();
}

absl::Status FakeHost::IgnoreShutdown(const std::string& uuid, bool ignore) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  domain->ignore_shutdown = ignore;
  return absl::OkStatus();
}

absl::Status FakeHost::IgnoreReboot(const std::string& uuid, bool ignore) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  domain->ignore_reboot = ignore;
  return absl::OkStatus();
}

absl::Status FakeHost::GuestPrints(const std::string& uuid, std::string_view text) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  // Nobody listens: what a serial port sends then is lost.
  if (domain->console != nullptr) domain->console->on_output(std::string(text));
  return absl::OkStatus();
}

// --- Others than the agent ---

void FakeHost::AddForeignDomain(DomainSpec spec, PowerState state, bool persistent) {
  MutexLock lock(mutex_);
  Domain& domain = domains_[spec.uuid];
  domain.spec = std::move(spec);
  domain.persistent = persistent;
  TakeHardware(domain);
  SetState(domain, state, state == PowerState::kStopped ? "unknown" : "booted");
}

absl::Status FakeHost::RemoveDomain(const std::string& uuid) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  if (domain->Active() && domain->persistent) {
    domain->persistent = false;
    Emit(HypervisorEvent::Kind::kDomainState, domain->Status());
    return absl::OkStatus();
  }
  CVM_RETURN_IF_ERROR(Destroy(uuid));
  return Undefine(uuid);
}

absl::Status FakeHost::SetManagedSave(const std::string& uuid, bool saved) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  domain->managed_save = saved;
  if (saved && domain->Active()) TurnOff(*domain, "saved");
  return absl::OkStatus();
}

absl::Status FakeHost::EditDomain(const std::string& uuid,
                                  const std::function<void(DomainSpec&)>& edit) {
  MutexLock lock(mutex_);
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  edit(domain->spec);
  Emit(HypervisorEvent::Kind::kDomainState, domain->Status());
  return absl::OkStatus();
}

absl::Status FakeHost::SetHostAutostart(const std::string& uuid, bool on) {
  MutexLock lock(mutex_);
  return SetAutostart(uuid, on);
}

// --- Inspection ---

bool FakeHost::Autostart(const std::string& uuid) const {
  MutexLock lock(mutex_);
  const auto found = domains_.find(uuid);
  return found != domains_.end() && found->second.autostart;
}

std::vector<DomainStatus> FakeHost::Domains() const {
  MutexLock lock(mutex_);
  return List();
}

std::optional<DomainSpec> FakeHost::FindSpec(const std::string& uuid) const {
  MutexLock lock(mutex_);
  const auto found = domains_.find(uuid);
  if (found == domains_.end()) return std::nullopt;
  return found->second.spec;
}

int FakeHost::Boots(const std::string& uuid) const {
  MutexLock lock(mutex_);
  const auto found = domains_.find(uuid);
  return found == domains_.end() ? 0 : found->second.boots;
}

int FakeHost::Calls(FakeMethod method) const {
  MutexLock lock(mutex_);
  const auto found = faults_.find(method);
  return found == faults_.end() ? 0 : found->second.calls;
}

}  // namespace cvm::hypervisor
