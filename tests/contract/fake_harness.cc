// SPDX-License-Identifier: Apache-2.0
#include "drivers/hypervisor/fake/fake_hypervisor.h"
#include "tests/contract/hypervisor_contract.h"

namespace cvm::hypervisor {
namespace {

class FakeHarness final : public ContractHarness {
 public:
  std::unique_ptr<Hypervisor> MakeHypervisor() override {
    return std::make_unique<FakeHypervisor>(host_);
  }

  DomainSpec MakeSpec(const std::string& name) override {
    DomainSpec spec;
    spec.name = name;
    spec.uuid = "11111111-2222-4333-8444-00000000000" + std::to_string(count_++);
    spec.title = "contract";
    spec.memory_mib = 128;
    spec.disks.resize(1);
    spec.disks[0].id = "disk-0";
    spec.disks[0].path = "/nowhere/" + name + ".qcow2";
    spec.console_log_path = "/nowhere/" + name + ".log";
    spec.metadata = "{}";
    return spec;
  }

  void KillDaemon() override { host_->Disconnect(); }
  void StartDaemon() override { host_->Reconnect(); }

  void SaveDomain(Hypervisor&, const std::string& uuid) override {
    ASSERT_TRUE(host_->SetManagedSave(uuid, true).ok());
  }
  void KillGuest(const DomainSpec& spec) override {
    ASSERT_TRUE(host_->GuestIsKilled(spec.uuid).ok());
  }
  void MakeGuestDeaf(Hypervisor&, const std::string& uuid) override {
    ASSERT_TRUE(host_->IgnoreShutdown(uuid, true).ok());
  }
  void InGuest(Hypervisor&, const std::string&, const std::string&) override {}
  void LetGuestRun(Hypervisor&, const std::string&) override {}
  void Clean() override {}

 private:
  const std::shared_ptr<FakeHost> host_ = std::make_shared<FakeHost>();
  int count_ = 0;
};

}  // namespace

std::unique_ptr<ContractHarness> MakeHarness() { return std::make_unique<FakeHarness>(); }

}  // namespace cvm::hypervisor
