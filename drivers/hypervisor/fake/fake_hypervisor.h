// SPDX-License-Identifier: Apache-2.0
//
// A hypervisor in memory, for tests. Faults and guests are driven through its FakeHost.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "drivers/hypervisor/fake/fake_host.h"
#include "drivers/hypervisor/hypervisor.h"
#include "drivers/hypervisor/serial_queue.h"

namespace cvm::hypervisor {

// Connected from Start() to Stop() or destruction, as long as the host is. Thread-safe.
class FakeHypervisor final : public Hypervisor {
 public:
  explicit FakeHypervisor(std::shared_ptr<FakeHost> host);
  ~FakeHypervisor() override;

  // Waits until every event and all console output so far has been delivered.
  void WaitIdle();

  void Start(std::function<void(const HypervisorEvent&)> handler) override;
  void Stop() override;
  absl::Duration SinceLastAnswer() const override;
  absl::StatusOr<HostInfo> GetHostInfo() override;
  absl::StatusOr<std::string> ResolveMachineType(MachineFamily family) override;
  absl::StatusOr<std::vector<DomainStatus>> ListDomains() override;
  absl::StatusOr<DomainStatus> GetDomain(const std::string& uuid) override;
  absl::Status DefineDomain(const DomainSpec& spec) override;
  absl::Status StartDomain(const std::string& uuid) override;
  absl::Status ShutdownDomain(const std::string& uuid) override;
  absl::Status DestroyDomain(const std::string& uuid) override;
  absl::Status RebootDomain(const std::string& uuid) override;
  absl::Status ResetDomain(const std::string& uuid) override;
  absl::Status UndefineDomain(const std::string& uuid) override;
  absl::StatusOr<DomainSize> GetDomainSize(const std::string& uuid) override;
  absl::Status AddVcpus(const std::string& uuid, uint32_t vcpus) override;
  absl::Status RequestHotplugMemory(const std::string& uuid, uint64_t mib) override;
  absl::Status SetBalloon(const std::string& uuid, uint64_t mib) override;
  absl::StatusOr<Screenshot> TakeScreenshot(const std::string& uuid) override;
  absl::StatusOr<std::unique_ptr<ConsoleSession>> OpenConsole(const std::string& uuid,
                                                              bool take_over,
                                                              ConsoleHandler handler) override;
  absl::StatusOr<std::string> GetDomainMetadata(const std::string& uuid) override;
  absl::Status SetDomainMetadata(const std::string& uuid, const std::string& text) override;
  absl::StatusOr<DomainDefinition> GetDomainDefinition(const std::string& uuid) override;
  // 1 GiB, whatever the file.
  absl::StatusOr<uint64_t> GetDiskBytes(const std::string& uuid,
                                        const std::string& target) override;
  absl::Status SetAutostart(const std::string& uuid, bool on) override;

 private:
  std::shared_ptr<FakeHost::Client> client() const;

  const std::shared_ptr<FakeHost> host_;
  // Shared with the consoles, which may outlive this object.
  const std::shared_ptr<SerialQueue> queue_ = std::make_shared<SerialQueue>();
  const std::shared_ptr<std::atomic<bool>> was_connected_ =
      std::make_shared<std::atomic<bool>>(false);
  mutable Mutex mutex_;
  std::shared_ptr<FakeHost::Client> client_ CVM_GUARDED_BY(mutex_);
};

}  // namespace cvm::hypervisor
