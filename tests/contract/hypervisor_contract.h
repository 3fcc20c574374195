// SPDX-License-Identifier: Apache-2.0
//
// The contract of drivers/hypervisor/hypervisor.h as one suite. Each executable links one harness,
// which says what the suite runs on.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "drivers/hypervisor/hypervisor.h"
#include "gtest/gtest.h"

namespace cvm::hypervisor {

inline constexpr std::chrono::seconds kPatience{180};

// A host to run on, and the things that happen to a host.
class ContractHarness {
 public:
  virtual ~ContractHarness() = default;
  // A new hypervisor object on the same host.
  virtual std::unique_ptr<Hypervisor> MakeHypervisor() = 0;
  // A spec that boots the tiny guest; its files are made.
  virtual DomainSpec MakeSpec(const std::string& name) = 0;
  // libvirtd is killed; guests run on.
  virtual void KillDaemon() = 0;
  virtual void StartDaemon() = 0;
  // Somebody saves the running domain.
  virtual void SaveDomain(Hypervisor& hypervisor, const std::string& uuid) = 0;
  // The guest's QEMU dies.
  virtual void KillGuest(const DomainSpec& spec) = 0;
  // The guest does not obey the power button any more.
  virtual void MakeGuestDeaf(Hypervisor& hypervisor, const std::string& uuid) = 0;
  // Runs a command in the guest's shell; nothing for a guest that only exists on paper.
  virtual void InGuest(Hypervisor& hypervisor, const std::string& uuid,
                       const std::string& command) = 0;
  // Returns when the guest has run on for longer than it takes to shut down.
  virtual void LetGuestRun(Hypervisor& hypervisor, const std::string& uuid) = 0;
  // Removes all domains that tests made.
  virtual void Clean() = 0;
};

// Defined by each harness; nullptr with a test failure when the host cannot be used.
std::unique_ptr<ContractHarness> MakeHarness();

// Collects events. Thread-safe.
class EventLog {
 public:
  std::function<void(const HypervisorEvent&)> Handler();
  std::vector<HypervisorEvent> All() const;
  void Clear();
  // Waits until an event after the first `from` satisfies the predicate; false after kPatience.
  bool WaitFor(const std::function<bool(const HypervisorEvent&)>& predicate, size_t from = 0);
  bool WaitForKind(HypervisorEvent::Kind kind, size_t from = 0);
  bool WaitForState(const std::string& uuid, PowerState state, size_t from = 0);
  size_t size() const;
  // All events as text, one a line, for the message of a failed expectation.
  std::string Text() const;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::vector<HypervisorEvent> events_ CVM_GUARDED_BY(mutex_);
};

// What a console session delivered. Thread-safe.
class ConsoleLog {
 public:
  ConsoleHandler Handler();
  // Waits for the text; false after kPatience.
  bool WaitForText(const std::string& text);
  bool WaitForText(const std::string& text, std::chrono::milliseconds patience);
  bool WaitForClosed();
  std::string text() const;
  absl::Status reason() const;

 private:
  mutable Mutex mutex_;
  CondVar changed_;
  std::string text_ CVM_GUARDED_BY(mutex_);
  bool closed_ CVM_GUARDED_BY(mutex_) = false;
  absl::Status reason_ CVM_GUARDED_BY(mutex_);
};

// A connected hypervisor on a clean host.
class HypervisorContract : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Defines and starts a domain.
  DomainSpec Run(const std::string& name);
  // Waits until the guest's shell answers on its console, and leaves the console closed.
  void WaitBooted(const DomainSpec& spec);
  DomainStatus Get(const DomainSpec& spec);
  // Waits for what GetDomain says.
  bool WaitUntil(const DomainSpec& spec, const std::function<bool(const DomainStatus&)>& predicate);

  std::unique_ptr<ContractHarness> harness_;
  // Before the hypervisor, which calls it to its end.
  EventLog events_;
  std::unique_ptr<Hypervisor> hypervisor_;
};

// Sends all of it.
void WriteAll(ConsoleSession& session, const std::string& text);

}  // namespace cvm::hypervisor
