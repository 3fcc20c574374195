// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>
#include <memory>
#include <string>

#include "drivers/hypervisor/libvirt/options.h"
#include "tests/contract/hypervisor_contract.h"

namespace cvm::hypervisor {

// The real libvirt of a test node (tests/harness/in_node), named by CVM_TEST_LIBVIRT_URI.
class LibvirtHarness final : public ContractHarness {
 public:
  LibvirtHarness();
  ~LibvirtHarness() override;

  static LibvirtOptions Options();
  static void SignalDaemon(int number);
  static void SignalGuest(const DomainSpec& spec, int number);

  // An overlay on the tiny image; its path.
  std::string MakeDisk(const std::string& name);

  std::unique_ptr<Hypervisor> MakeHypervisor() override;
  DomainSpec MakeSpec(const std::string& name) override;
  void KillDaemon() override;
  void StartDaemon() override;
  void SaveDomain(Hypervisor& hypervisor, const std::string& uuid) override;
  void KillGuest(const DomainSpec& spec) override;
  void MakeGuestDeaf(Hypervisor& hypervisor, const std::string& uuid) override;
  void InGuest(Hypervisor& hypervisor, const std::string& uuid,
               const std::string& command) override;
  void LetGuestRun(Hypervisor& hypervisor, const std::string& uuid) override;
  void Clean() override;

 private:
  std::string folder_;
  int count_ = 0;
};

}  // namespace cvm::hypervisor
