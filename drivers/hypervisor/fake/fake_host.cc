// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/fake/fake_host.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/domain_check.h"
#include "drivers/hypervisor/fake/fake_errors.h"

namespace cvm::hypervisor {

FakeHost::FakeHost() {
  info_.kvm = true;
  info_.architecture = "x86_64";
  info_.cpus = 8;
  info_.memory_mib = 16384;
  info_.libvirt_version = "9.0.0";
  info_.qemu_version = "7.2.0";
}

FakeHost::~FakeHost() = default;

void FakeHost::SetHostInfo(HostInfo info) {
  MutexLock lock(mutex_);
  info_ = std::move(info);
}

void FakeHost::SetMachineTypes(std::string q35, std::string pc) {
  MutexLock lock(mutex_);
  machine_q35_ = std::move(q35);
  machine_pc_ = std::move(pc);
}

std::shared_ptr<FakeHost::Client> FakeHost::Attach(
    std::function<void(const HypervisorEvent&)> on_event) {
  auto client = std::make_shared<Client>();
  client->on_event = std::move(on_event);
  MutexLock lock(mutex_);
  clients_.push_back(client);
  HypervisorEvent event;
  if (connected_) {
    event.kind = HypervisorEvent::Kind::kConnected;
    event.domains = List();
  } else {
    event.kind = HypervisorEvent::Kind::kDisconnected;
    event.message = disconnect_message_;
  }
  client->on_event(event);
  return client;
}

void FakeHost::Detach(const std::shared_ptr<Client>& client) {
  MutexLock lock(mutex_);
  client->stopped = true;
  std::erase(clients_, client);
  for (auto& [uuid, domain] : domains_) {
    if (domain.console != nullptr && domain.console->client == client) {
      CloseConsole(domain, fake::Unavailable("the connection was closed"));
    }
  }
  changed_.NotifyAll();
}

absl::Status FakeHost::CheckConnected(const std::shared_ptr<Client>& client) const {
  if (client == nullptr || client->stopped) return fake::Unavailable("there is no connection");
  if (!connected_) return fake::Unavailable(disconnect_message_);
  return absl::OkStatus();
}

absl::StatusOr<FakeHost::Domain*> FakeHost::Find(const std::string& uuid) {
  const auto found = domains_.find(uuid);
  if (found == domains_.end()) {
    return Error(ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND,
                 "The hypervisor has no domain with UUID " + uuid + ".");
  }
  return &found->second;
}

absl::StatusOr<FakeHost::Domain*> FakeHost::FindActive(const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  if (!domain->Active()) return fake::WrongState(domain->spec.name, "is not running");
  return domain;
}

DomainStatus FakeHost::Domain::Status() const {
  DomainStatus status;
  status.uuid = spec.uuid;
  status.name = spec.name;
  status.state = state;
  status.reason = reason;
  status.persistent = persistent;
  status.has_managed_save = managed_save;
  return status;
}

std::vector<DomainStatus> FakeHost::List() const {
  std::vector<DomainStatus> list;
  for (const auto& [uuid, domain] : domains_) list.push_back(domain.Status());
  return list;
}

void FakeHost::EmitAll(const HypervisorEvent& event) {
  for (const auto& client : clients_) client->on_event(event);
}

void FakeHost::Emit(HypervisorEvent::Kind kind, const DomainStatus& status) {
  if (!connected_) return;
  HypervisorEvent event;
  event.kind = kind;
  event.domains.push_back(status);
  EmitAll(event);
}

void FakeHost::SetState(Domain& domain, PowerState state, std::string reason) {
  domain.state = state;
  domain.reason = std::move(reason);
  Emit(HypervisorEvent::Kind::kDomainState, domain.Status());
}

void FakeHost::TurnOff(Domain& domain, std::string reason) {
  CloseConsole(domain, fake::WrongState(domain.spec.name, "stopped"));
  domain.state = PowerState::kStopped;
  domain.reason = std::move(reason);
  if (domain.persistent) {
    Emit(HypervisorEvent::Kind::kDomainState, domain.Status());
    return;
  }
  Emit(HypervisorEvent::Kind::kDomainGone, domain.Status());
  const std::string uuid = domain.spec.uuid;
  domains_.erase(uuid);
}

void FakeHost::Boot(Domain& domain) {
  ++domain.boots;
  if (domain.console != nullptr) {
    domain.console->on_output("TINY-READY boot=" + std::to_string(domain.boots) + "\r\ntiny# ");
  }
}

void FakeHost::CloseConsole(Domain& domain, const absl::Status& reason) {
  if (const auto console = std::exchange(domain.console, nullptr)) console->on_closed(reason);
}

absl::Status FakeHost::Define(const DomainSpec& spec) {
  CVM_RETURN_IF_ERROR(CheckDomainSpec(spec));
  for (const auto& [uuid, domain] : domains_) {
    if ((uuid == spec.uuid) != (domain.spec.name == spec.name)) {
      return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
                   "The hypervisor has a domain '" + domain.spec.name + "' with UUID " + uuid +
                       ": a domain's name and UUID cannot be changed or used twice.");
    }
  }
  const auto [found, is_new] = domains_.try_emplace(spec.uuid);
  Domain& domain = found->second;
  domain.spec = spec;
  domain.persistent = true;
  domain.autostart = false;
  Emit(HypervisorEvent::Kind::kDomainState, domain.Status());
  return absl::OkStatus();
}

absl::Status FakeHost::Start(const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  if (domain->state == PowerState::kRunning) return absl::OkStatus();
  if (domain->Active()) {
    return fake::WrongState(domain->spec.name, "is " + domain->reason + ", not stopped");
  }
  if (domain->managed_save) return fake::WrongState(domain->spec.name, "has a saved state");
  TakeHardware(*domain);
  Boot(*domain);
  SetState(*domain, PowerState::kRunning, "booted");
  return absl::OkStatus();
}

absl::Status FakeHost::Shutdown(const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  if (domain->state == PowerState::kRunning && !domain->ignore_shutdown) {
    TurnOff(*domain, "shutdown");
  }
  return absl::OkStatus();
}

absl::Status FakeHost::Destroy(const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  if (domain->Active()) TurnOff(*domain, "destroyed");
  return absl::OkStatus();
}

absl::Status FakeHost::Reboot(const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  if (domain->state == PowerState::kRunning && !domain->ignore_reboot) {
    Boot(*domain);
    Emit(HypervisorEvent::Kind::kDomainRebooted, domain->Status());
  }
  return absl::OkStatus();
}

absl::Status FakeHost::Reset(const std::string& uuid) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, FindActive(uuid));
  Boot(*domain);
  Emit(HypervisorEvent::Kind::kDomainRebooted, domain->Status());
  return absl::OkStatus();
}

absl::Status FakeHost::SetAutostart(const std::string& uuid, bool on) {
  CVM_ASSIGN_OR_RETURN(Domain * domain, Find(uuid));
  if (!domain->persistent) return fake::WrongState(domain->spec.name, "is transient");
  domain->autostart = on;
  return absl::OkStatus();
}

absl::Status FakeHost::Undefine(const std::string& uuid) {
  const auto found = domains_.find(uuid);
  if (found == domains_.end()) return absl::OkStatus();
  if (found->second.Active()) return fake::WrongState(found->second.spec.name, "is running");
  const DomainStatus status = found->second.Status();
  domains_.erase(found);
  Emit(HypervisorEvent::Kind::kDomainGone, status);
  return absl::OkStatus();
}

}  // namespace cvm::hypervisor
