// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/fake/fake_hypervisor.h"

#include <utility>

#include "common/errors.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/console_sink.h"
#include "drivers/hypervisor/domain_definition.h"
#include "drivers/hypervisor/fake/fake_errors.h"
#include "drivers/hypervisor/png.h"

namespace cvm::hypervisor {

// One end of a fake guest's serial port: it echoes its input, and shows a prompt after each line.
class FakeConsole final : public ConsoleSession {
 public:
  FakeConsole(std::shared_ptr<FakeHost> host, std::string uuid,
              std::shared_ptr<FakeHost::Console> console, std::shared_ptr<ConsoleSink> sink)
      : host_(std::move(host)),
        uuid_(std::move(uuid)),
        console_(std::move(console)),
        sink_(std::move(sink)) {}

  ~FakeConsole() override {
    {
      MutexLock lock(host_->mutex_);
      const auto domain = host_->domains_.find(uuid_);
      if (domain != host_->domains_.end() && domain->second.console == console_) {
        domain->second.console = nullptr;
      }
    }
    sink_->Detach();
  }

  absl::StatusOr<size_t> Write(std::string_view input) override {
    MutexLock lock(host_->mutex_);
    const auto domain = host_->domains_.find(uuid_);
    if (domain == host_->domains_.end() || domain->second.console != console_) {
      return fake::WrongState(uuid_, "has no open console of this session");
    }
    std::string echo;
    for (const char c : input) {
      if (c == '\n' || c == '\r') {
        echo += "\r\ntiny# ";
      } else {
        echo += c;
      }
    }
    console_->on_output(std::move(echo));
    return input.size();
  }

 private:
  const std::shared_ptr<FakeHost> host_;
  const std::string uuid_;
  const std::shared_ptr<FakeHost::Console> console_;
  const std::shared_ptr<ConsoleSink> sink_;
};

FakeHypervisor::FakeHypervisor(std::shared_ptr<FakeHost> host) : host_(std::move(host)) {}

FakeHypervisor::~FakeHypervisor() { Stop(); }

void FakeHypervisor::WaitIdle() { queue_->WaitIdle(); }

absl::Duration FakeHypervisor::SinceLastAnswer() const {
  MutexLock lock(host_->mutex_);
  return host_->unanswered_;
}

std::shared_ptr<FakeHost::Client> FakeHypervisor::client() const {
  MutexLock lock(mutex_);
  return client_;
}

void FakeHypervisor::Start(std::function<void(const HypervisorEvent&)> handler) {
  auto client = host_->Attach([queue = queue_, was_connected = was_connected_,
                               handler = std::move(handler)](const HypervisorEvent& event) {
    if (event.kind == HypervisorEvent::Kind::kConnected) *was_connected = true;
    queue->Post([handler, event] { handler(event); });
  });
  MutexLock lock(mutex_);
  client_ = std::move(client);
}

void FakeHypervisor::Stop() {
  // Sessions are told of the end before the queue goes.
  if (const auto attached = client()) {
    host_->Detach(attached);
    queue_->WaitIdle();
  }
  queue_->Stop();
}

absl::StatusOr<HostInfo> FakeHypervisor::GetHostInfo() {
  if (!*was_connected_) return fake::Unavailable("there has been no connection yet");
  MutexLock lock(host_->mutex_);
  return host_->info_;
}

absl::StatusOr<std::string> FakeHypervisor::ResolveMachineType(MachineFamily family) {
  if (!*was_connected_) return fake::Unavailable("there has been no connection yet");
  MutexLock lock(host_->mutex_);
  return family == MachineFamily::kQ35 ? host_->machine_q35_ : host_->machine_pc_;
}

// The closures run with the host's lock held, which the analysis cannot see through Call().

absl::StatusOr<std::vector<DomainStatus>> FakeHypervisor::ListDomains() {
  return host_->Call(
      FakeMethod::kListDomains, "", client(),
      [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<std::vector<DomainStatus>> {
        return host_->List();
      });
}

absl::StatusOr<DomainStatus> FakeHypervisor::GetDomain(const std::string& uuid) {
  return host_->Call(FakeMethod::kGetDomain, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<DomainStatus> {
                       CVM_ASSIGN_OR_RETURN(FakeHost::Domain * domain, host_->Find(uuid));
                       return domain->Status();
                     });
}

absl::Status FakeHypervisor::DefineDomain(const DomainSpec& spec) {
  return host_->Call(FakeMethod::kDefineDomain, spec.uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->Define(spec); });
}

absl::Status FakeHypervisor::StartDomain(const std::string& uuid) {
  return host_->Call(FakeMethod::kStartDomain, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->Start(uuid); });
}

absl::Status FakeHypervisor::ShutdownDomain(const std::string& uuid) {
  return host_->Call(FakeMethod::kShutdownDomain, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->Shutdown(uuid); });
}

absl::Status FakeHypervisor::DestroyDomain(const std::string& uuid) {
  return host_->Call(FakeMethod::kDestroyDomain, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->Destroy(uuid); });
}

absl::Status FakeHypervisor::RebootDomain(const std::string& uuid) {
  return host_->Call(FakeMethod::kRebootDomain, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->Reboot(uuid); });
}

absl::Status FakeHypervisor::ResetDomain(const std::string& uuid) {
  return host_->Call(FakeMethod::kResetDomain, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->Reset(uuid); });
}

absl::Status FakeHypervisor::UndefineDomain(const std::string& uuid) {
  return host_->Call(FakeMethod::kUndefineDomain, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->Undefine(uuid); });
}

absl::StatusOr<DomainSize> FakeHypervisor::GetDomainSize(const std::string& uuid) {
  return host_->Call(FakeMethod::kGetDomainSize, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<DomainSize> {
                       CVM_ASSIGN_OR_RETURN(FakeHost::Domain * domain, host_->FindActive(uuid));
                       return domain->size;
                     });
}

absl::Status FakeHypervisor::AddVcpus(const std::string& uuid, uint32_t vcpus) {
  return host_->Call(FakeMethod::kAddVcpus, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->AddVcpus(uuid, vcpus); });
}

absl::Status FakeHypervisor::RequestHotplugMemory(const std::string& uuid, uint64_t mib) {
  return host_->Call(
      FakeMethod::kRequestHotplugMemory, uuid, client(),
      [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->RequestHotplugMemory(uuid, mib); });
}

absl::Status FakeHypervisor::SetBalloon(const std::string& uuid, uint64_t mib) {
  return host_->Call(FakeMethod::kSetBalloon, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->SetBalloon(uuid, mib); });
}

absl::StatusOr<Screenshot> FakeHypervisor::TakeScreenshot(const std::string& uuid) {
  return host_->Call(
      FakeMethod::kTakeScreenshot, uuid, client(),
      [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<Screenshot> {
        CVM_RETURN_IF_ERROR(host_->FindActive(uuid).status());
        constexpr size_t kWidth = 720;
        constexpr size_t kHeight = 400;
        return PpmToPng("P6\n720 400\n255\n" + std::string(kWidth * kHeight * 3, '\0'));
      });
}

absl::StatusOr<std::unique_ptr<ConsoleSession>> FakeHypervisor::OpenConsole(
    const std::string& uuid, bool take_over, ConsoleHandler handler) {
  using Result = absl::StatusOr<std::unique_ptr<ConsoleSession>>;
  const auto sink = std::make_shared<ConsoleSink>(std::move(handler));
  const auto console = std::make_shared<FakeHost::Console>();
  console->client = client();
  console->on_output = [queue = queue_, sink](std::string output) {
    queue->Post([sink, output = std::move(output)] { sink->Deliver(output); });
  };
  console->on_closed = [queue = queue_, sink](absl::Status reason) {
    queue->Post([sink, reason = std::move(reason)] { sink->Close(reason); });
  };
  return host_->Call(
      FakeMethod::kOpenConsole, uuid, client(), [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> Result {
        CVM_ASSIGN_OR_RETURN(FakeHost::Domain * domain, host_->FindActive(uuid));
        const absl::Status busy =
            Error(ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS,
                  "The console of domain '" + domain->spec.name +
                      "' is open in another session: take it over, or try again later.");
        if (domain->console != nullptr && !take_over) return busy;
        host_->CloseConsole(*domain, Error(ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS,
                                           "Another session took over the console of domain '" +
                                               domain->spec.name + "'."));
        domain->console = console;
        return std::make_unique<FakeConsole>(host_, uuid, console, sink);
      });
}

absl::StatusOr<std::string> FakeHypervisor::GetDomainMetadata(const std::string& uuid) {
  return host_->Call(FakeMethod::kGetDomainMetadata, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<std::string> {
                       CVM_ASSIGN_OR_RETURN(FakeHost::Domain * domain, host_->Find(uuid));
                       if (domain->spec.metadata.empty()) {
                         return absl::NotFoundError("The domain has no metadata of the agent.");
                       }
                       return domain->spec.metadata;
                     });
}

absl::Status FakeHypervisor::SetDomainMetadata(const std::string& uuid, const std::string& text) {
  return host_->Call(FakeMethod::kSetDomainMetadata, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::Status {
                       CVM_ASSIGN_OR_RETURN(FakeHost::Domain * domain, host_->Find(uuid));
                       domain->spec.metadata = text;
                       return absl::OkStatus();
                     });
}

absl::StatusOr<DomainDefinition> FakeHypervisor::GetDomainDefinition(const std::string& uuid) {
  return host_->Call(FakeMethod::kGetDomainDefinition, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<DomainDefinition> {
                       CVM_ASSIGN_OR_RETURN(FakeHost::Domain * domain, host_->Find(uuid));
                       DomainDefinition definition = DefinitionOf(domain->spec);
                       definition.persistent = domain->persistent;
                       definition.autostart = domain->autostart;
                       if (definition.machine_type.empty()) {
                         definition.machine_type = domain->spec.machine_family == MachineFamily::kPc
                                                       ? host_->machine_pc_
                                                       : host_->machine_q35_;
                       }
                       return definition;
                     });
}

absl::StatusOr<uint64_t> FakeHypervisor::GetDiskBytes(const std::string& uuid,
                                                      const std::string& target) {
  return host_->Call(FakeMethod::kGetDiskBytes, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS -> absl::StatusOr<uint64_t> {
                       CVM_ASSIGN_OR_RETURN(FakeHost::Domain * domain, host_->Find(uuid));
                       for (const auto& disk : DefinitionOf(domain->spec).disks) {
                         if (disk.target == target && !disk.cdrom) return uint64_t{1} << 30;
                       }
                       return Error(ErrorReason::ERROR_REASON_HYPERVISOR_ERROR,
                                    "The domain has no disk " + target + ".");
                     });
}

absl::Status FakeHypervisor::SetAutostart(const std::string& uuid, bool on) {
  return host_->Call(FakeMethod::kSetAutostart, uuid, client(),
                     [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return host_->SetAutostart(uuid, on); });
}

}  // namespace cvm::hypervisor
