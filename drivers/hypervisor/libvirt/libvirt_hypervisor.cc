// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/libvirt/libvirt_hypervisor.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/errors.h"
#include "common/mutex.h"
#include "common/status_macros.h"
#include "drivers/hypervisor/libvirt/call_lane.h"
#include "drivers/hypervisor/libvirt/connection.h"
#include "drivers/hypervisor/libvirt/connection_keeper.h"
#include "drivers/hypervisor/libvirt/console.h"
#include "drivers/hypervisor/libvirt/domain_calls.h"
#include "drivers/hypervisor/libvirt/domain_size.h"
#include "drivers/hypervisor/libvirt/domain_xml.h"
#include "drivers/hypervisor/libvirt/event_hub.h"

namespace cvm::hypervisor {
namespace {

// libvirtd sends no event for a domain that is turned off while the daemon, just started, is still
// taking it over.
void LookAgain(virConnectPtr connection, const std::string& uuid, EventHub& hub) {
  const uint64_t event_count = hub.EventCount(uuid);
  const absl::StatusOr<DomainStatus> status = hypervisor::GetDomain(connection, uuid);
  if (status.ok()) {
    hub.Observed(uuid, *status, event_count);
  } else if (ReasonOf(status.status()) == ErrorReason::ERROR_REASON_DOMAIN_NOT_FOUND) {
    hub.Observed(uuid, std::nullopt, event_count);
  }
}

class LibvirtHypervisor final : public Hypervisor {
 public:
  explicit LibvirtHypervisor(LibvirtOptions options)
      : connection_(std::make_shared<ConnectionState>(std::move(options))),
        hub_(std::make_shared<EventHub>()),
        general_(std::make_shared<CallLane>(connection_, connection_->options.general_workers)),
        destroy_(std::make_shared<CallLane>(connection_, connection_->options.destroy_workers)),
        keeper_(connection_, hub_) {}

  ~LibvirtHypervisor() override { LibvirtHypervisor::Stop(); }

  void Start(std::function<void(const HypervisorEvent&)> handler) override {
    hub_->Start(std::move(handler));
    keeper_.Start();
  }

  void Stop() override {
    hub_->Stop();
    CloseConsoles();
    const absl::Duration grace = connection_->options.stop_grace;
    keeper_.Stop(grace);
    connection_->generation = 0;
    general_->Stop(grace);
    destroy_->Stop(grace);
  }

  absl::Duration SinceLastAnswer() const override { return connection_->SinceLastAnswer(); }

  absl::StatusOr<HostInfo> GetHostInfo() override {
    CVM_ASSIGN_OR_RETURN(HostInventory host, keeper_.Host());
    return std::move(host.info);
  }

  absl::StatusOr<std::string> ResolveMachineType(MachineFamily family) override {
    CVM_ASSIGN_OR_RETURN(HostInventory host, keeper_.Host());
    std::string machine =
        family == MachineFamily::kQ35 ? host.facts.machine_q35 : host.facts.machine_pc;
    if (machine.empty()) {
      return InvalidField("machine_family", "is one that this host's QEMU does not have");
    }
    return machine;
  }

  absl::StatusOr<std::vector<DomainStatus>> ListDomains() override {
    return general_->Call(
        Deadline(), [](virConnectPtr connection) { return hypervisor::ListDomains(connection); });
  }

  absl::StatusOr<DomainStatus> GetDomain(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::GetDomain(connection, uuid);
    });
  }

  absl::Status DefineDomain(const DomainSpec& spec) override {
    CVM_ASSIGN_OR_RETURN(const HostInventory host, keeper_.Host());
    CVM_ASSIGN_OR_RETURN(std::string xml, WriteDomainXml(spec, host.facts));
    return general_->Call(LongDeadline(), [xml = std::move(xml)](virConnectPtr connection) {
      return hypervisor::DefineDomain(connection, xml);
    });
  }

  absl::Status StartDomain(const std::string& uuid) override {
    return general_->Call(LongDeadline(), [uuid](virConnectPtr connection) {
      return hypervisor::StartDomain(connection, uuid);
    });
  }

  absl::Status ShutdownDomain(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::ShutdownDomain(connection, uuid);
    });
  }

  absl::Status DestroyDomain(const std::string& uuid) override {
    return destroy_->Call(connection_->options.destroy_deadline,
                          [uuid, hub = hub_](virConnectPtr connection) -> absl::Status {
                            CVM_RETURN_IF_ERROR(hypervisor::DestroyDomain(connection, uuid));
                            LookAgain(connection, uuid, *hub);
                            return absl::OkStatus();
                          });
  }

  absl::Status RebootDomain(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::RebootDomain(connection, uuid);
    });
  }

  absl::Status ResetDomain(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::ResetDomain(connection, uuid);
    });
  }

  absl::Status UndefineDomain(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::UndefineDomain(connection, uuid);
    });
  }

  absl::StatusOr<DomainSize> GetDomainSize(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::GetDomainSize(connection, uuid);
    });
  }

  absl::Status AddVcpus(const std::string& uuid, uint32_t vcpus) override {
    return general_->Call(LongDeadline(), [uuid, vcpus](virConnectPtr connection) {
      return hypervisor::AddVcpus(connection, uuid, vcpus);
    });
  }

  absl::Status RequestHotplugMemory(const std::string& uuid, uint64_t mib) override {
    return general_->Call(Deadline(), [uuid, mib](virConnectPtr connection) {
      return hypervisor::RequestHotplugMemory(connection, uuid, mib);
    });
  }

  absl::Status SetBalloon(const std::string& uuid, uint64_t mib) override {
    return general_->Call(Deadline(), [uuid, mib](virConnectPtr connection) {
      return hypervisor::SetBalloon(connection, uuid, mib);
    });
  }

  absl::StatusOr<Screenshot> TakeScreenshot(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::TakeScreenshot(connection, uuid);
    });
  }

  absl::StatusOr<std::unique_ptr<ConsoleSession>> OpenConsole(const std::string& uuid,
                                                              bool take_over,
                                                              ConsoleHandler handler) override {
    const auto receiver =
        std::make_shared<ConsoleReceiver>(uuid, console_queue_, general_, std::move(handler));
    {
      MutexLock lock(mutex_);
      std::erase_if(receivers_, [](const auto& weak) { return weak.expired(); });
      receivers_.push_back(receiver);
    }
    // Weak, because a call that hangs must not keep the lane that it hangs in.
    const std::weak_ptr<CallLane> lane = general_;
    return general_->Call(
        Deadline(), [state = connection_, uuid, take_over, receiver, lane](virConnectPtr) {
          return OpenLibvirtConsole(state->options, uuid, take_over, receiver, lane.lock());
        });
  }

  absl::StatusOr<std::string> GetDomainMetadata(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::GetDomainMetadata(connection, uuid);
    });
  }

  absl::Status SetDomainMetadata(const std::string& uuid, const std::string& text) override {
    return general_->Call(Deadline(), [uuid, text](virConnectPtr connection) {
      return hypervisor::SetDomainMetadata(connection, uuid, text);
    });
  }

  absl::StatusOr<DomainDefinition> GetDomainDefinition(const std::string& uuid) override {
    return general_->Call(Deadline(), [uuid](virConnectPtr connection) {
      return hypervisor::GetDomainDefinition(connection, uuid);
    });
  }

  absl::StatusOr<uint64_t> GetDiskBytes(const std::string& uuid,
                                        const std::string& target) override {
    return general_->Call(Deadline(), [uuid, target](virConnectPtr connection) {
      return hypervisor::GetDiskBytes(connection, uuid, target);
    });
  }

  absl::Status SetAutostart(const std::string& uuid, bool on) override {
    return general_->Call(Deadline(), [uuid, on](virConnectPtr connection) {
      return hypervisor::SetAutostart(connection, uuid, on);
    });
  }

 private:
  absl::Duration Deadline() const { return connection_->options.call_deadline; }
  absl::Duration LongDeadline() const { return connection_->options.long_call_deadline; }

  void CloseConsoles() {
    std::vector<std::weak_ptr<ConsoleReceiver>> receivers;
    {
      MutexLock lock(mutex_);
      receivers.swap(receivers_);
    }
    for (const auto& weak : receivers) {
      if (const auto receiver = weak.lock()) receiver->Close(Unavailable("the agent is stopping"));
    }
    console_queue_->WaitIdle();
    console_queue_->Stop();
  }

  const std::shared_ptr<ConnectionState> connection_;
  const std::shared_ptr<EventHub> hub_;
  const std::shared_ptr<SerialQueue> console_queue_ = std::make_shared<SerialQueue>();
  const std::shared_ptr<CallLane> general_;
  const std::shared_ptr<CallLane> destroy_;
  ConnectionKeeper keeper_;
  Mutex mutex_;
  std::vector<std::weak_ptr<ConsoleReceiver>> receivers_ CVM_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Hypervisor> MakeLibvirtHypervisor(LibvirtOptions options) {
  return std::make_unique<LibvirtHypervisor>(std::move(options));
}

}  // namespace cvm::hypervisor
