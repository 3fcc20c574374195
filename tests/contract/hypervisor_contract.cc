// SPDX-License-Identifier: Apache-2.0
#include "tests/contract/hypervisor_contract.h"

#include "fmt/format.h"

namespace cvm::hypervisor {
namespace {

// Waits for `condition` with `mutex` held; false after the patience.
template <class Condition>
bool WaitOn(CondVar& changed, Mutex& mutex, std::chrono::milliseconds patience,
            Condition condition) CVM_NO_THREAD_SAFETY_ANALYSIS {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    const auto left = until - std::chrono::steady_clock::now();
    if (left.count() <= 0) return false;
    changed.WaitFor(mutex, left);
  }
  return true;
}

}  // namespace

std::function<void(const HypervisorEvent&)> EventLog::Handler() {
  return [this](const HypervisorEvent& event) {
    MutexLock lock(mutex_);
    events_.push_back(event);
    changed_.NotifyAll();
  };
}

std::vector<HypervisorEvent> EventLog::All() const {
  MutexLock lock(mutex_);
  return events_;
}

size_t EventLog::size() const { return All().size(); }

std::string EventLog::Text() const {
  std::string text;
  for (const HypervisorEvent& event : All()) {
    text += fmt::format("\nkind {} {}", static_cast<int>(event.kind), event.message);
    for (const DomainStatus& domain : event.domains) {
      text += fmt::format(" [{} state {} {}{}]", domain.name, static_cast<int>(domain.state),
                          domain.reason, domain.persistent ? "" : " transient");
    }
  }
  return text;
}

void EventLog::Clear() {
  MutexLock lock(mutex_);
  events_.clear();
}

bool EventLog::WaitFor(const std::function<bool(const HypervisorEvent&)>& predicate, size_t from) {
  MutexLock lock(mutex_);
  return WaitOn(changed_, mutex_, kPatience, [&]() CVM_NO_THREAD_SAFETY_ANALYSIS {
    for (size_t i = from; i < events_.size(); ++i) {
      if (predicate(events_[i])) return true;
    }
    return false;
  });
}

bool EventLog::WaitForKind(HypervisorEvent::Kind kind, size_t from) {
  return WaitFor([kind](const HypervisorEvent& event) { return event.kind == kind; }, from);
}

bool EventLog::WaitForState(const std::string& uuid, PowerState state, size_t from) {
  return WaitFor(
      [&](const HypervisorEvent& event) {
        return event.kind == HypervisorEvent::Kind::kDomainState && event.domains.size() == 1 &&
               event.domains[0].uuid == uuid && event.domains[0].state == state;
      },
      from);
}

ConsoleHandler ConsoleLog::Handler() {
  ConsoleHandler handler;
  handler.on_output = [this](std::string_view output) {
    MutexLock lock(mutex_);
    EXPECT_FALSE(closed_) << "output after on_closed";
    text_ += output;
    changed_.NotifyAll();
  };
  handler.on_closed = [this](absl::Status reason) {
    MutexLock lock(mutex_);
    EXPECT_FALSE(closed_) << "on_closed twice";
    closed_ = true;
    reason_ = std::move(reason);
    changed_.NotifyAll();
  };
  return handler;
}

bool ConsoleLog::WaitForText(const std::string& text) { return WaitForText(text, kPatience); }

bool ConsoleLog::WaitForText(const std::string& text, std::chrono::milliseconds patience) {
  MutexLock lock(mutex_);
  return WaitOn(changed_, mutex_, patience, [&]() CVM_NO_THREAD_SAFETY_ANALYSIS {
    return text_.find(text) != std::string::npos;
  });
}

bool ConsoleLog::WaitForClosed() {
  MutexLock lock(mutex_);
  return WaitOn(changed_, mutex_, kPatience,
                [&]() CVM_NO_THREAD_SAFETY_ANALYSIS { return closed_; });
}

std::string ConsoleLog::text() const {
  MutexLock lock(mutex_);
  return text_;
}

absl::Status ConsoleLog::reason() const {
  MutexLock lock(mutex_);
  return reason_;
}

void WriteAll(ConsoleSession& session, const std::string& text) {
  std::string_view rest = text;
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!rest.empty() && std::chrono::steady_clock::now() < until) {
    const auto sent = session.Write(rest);
    ASSERT_TRUE(sent.ok()) << sent.status();
    rest.remove_prefix(*sent);
  }
  EXPECT_TRUE(rest.empty());
}

void HypervisorContract::SetUp() {
  harness_ = MakeHarness();
  ASSERT_NE(harness_, nullptr);
  harness_->Clean();
  hypervisor_ = harness_->MakeHypervisor();
  hypervisor_->Start(events_.Handler());
  ASSERT_TRUE(events_.WaitForKind(HypervisorEvent::Kind::kConnected));
}

void HypervisorContract::TearDown() {
  if (HasFailure()) fmt::print(stderr, "events of the failed test:{}\n", events_.Text());
  if (hypervisor_ != nullptr) hypervisor_->Stop();
  hypervisor_.reset();
  if (harness_ != nullptr) harness_->Clean();
}

DomainSpec HypervisorContract::Run(const std::string& name) {
  DomainSpec spec = harness_->MakeSpec(name);
  EXPECT_EQ(hypervisor_->DefineDomain(spec), absl::OkStatus());
  EXPECT_EQ(hypervisor_->StartDomain(spec.uuid), absl::OkStatus());
  return spec;
}

void HypervisorContract::WaitBooted(const DomainSpec& spec) {
  ConsoleLog log;
  auto session = hypervisor_->OpenConsole(spec.uuid, true, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  const auto until = std::chrono::steady_clock::now() + kPatience;
  // What the guest printed before is lost, so ask until the shell answers.
  do {
    WriteAll(**session, "\n");
    if (log.WaitForText("tiny# ", std::chrono::seconds(1))) return;
  } while (std::chrono::steady_clock::now() < until);
  FAIL() << "the guest did not boot; its console: " << log.text();
}

DomainStatus HypervisorContract::Get(const DomainSpec& spec) {
  const auto status = hypervisor_->GetDomain(spec.uuid);
  EXPECT_TRUE(status.ok()) << status.status();
  return status.value_or(DomainStatus());
}

bool HypervisorContract::WaitUntil(const DomainSpec& spec,
                                   const std::function<bool(const DomainStatus&)>& predicate) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < until) {
    const size_t seen = events_.size();
    const auto status = hypervisor_->GetDomain(spec.uuid);
    if (status.ok() && predicate(*status)) return true;
    // Nothing changes without an event.
    events_.WaitFor([](const HypervisorEvent&) { return true; }, seen);
  }
  return false;
}

}  // namespace cvm::hypervisor
