// SPDX-License-Identifier: Apache-2.0
//
// Console and screen.
#include "common/errors.h"
#include "gtest/gtest.h"
#include "tests/contract/hypervisor_contract.h"

namespace cvm::hypervisor {
namespace {

using HypervisorContractConsole = HypervisorContract;

uint32_t BigEndian(const std::string& text, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(text[at + i]);
  return value;
}

TEST_F(HypervisorContractConsole, TakesAScreenshot) {
  const DomainSpec spec = Run("contract-a");
  const auto shot = hypervisor_->TakeScreenshot(spec.uuid);
  ASSERT_TRUE(shot.ok()) << shot.status();
  ASSERT_GT(shot->png.size(), 33u);
  EXPECT_EQ(shot->png.substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_GE(shot->width, 320u);
  EXPECT_GE(shot->height, 200u);
  EXPECT_EQ(BigEndian(shot->png, 16), shot->width);
  EXPECT_EQ(BigEndian(shot->png, 20), shot->height);
}

TEST_F(HypervisorContractConsole, ShowsOutputAndSendsInput) {
  const DomainSpec spec = Run("contract-a");
  WaitBooted(spec);
  ConsoleLog log;
  auto session = hypervisor_->OpenConsole(spec.uuid, false, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  WriteAll(**session, "echo marker-one\n");
  EXPECT_TRUE(log.WaitForText("marker-one")) << log.text();
  EXPECT_TRUE(log.WaitForText("tiny# ")) << log.text();
}

TEST_F(HypervisorContractConsole, RefusesASecondSessionUnlessItTakesOver) {
  const DomainSpec spec = Run("contract-a");
  WaitBooted(spec);
  ConsoleLog first_log;
  auto first = hypervisor_->OpenConsole(spec.uuid, true, first_log.Handler());
  ASSERT_TRUE(first.ok()) << first.status();
  ConsoleLog second_log;
  EXPECT_EQ(ReasonOf(hypervisor_->OpenConsole(spec.uuid, false, second_log.Handler()).status()),
            ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS);
  auto second = hypervisor_->OpenConsole(spec.uuid, true, second_log.Handler());
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_TRUE(first_log.WaitForClosed());
  EXPECT_EQ(ReasonOf(first_log.reason()), ErrorReason::ERROR_REASON_OPERATION_IN_PROGRESS)
      << first_log.reason();
  EXPECT_FALSE((*first)->Write("x").ok());
  WriteAll(**second, "echo marker-two\n");
  EXPECT_TRUE(second_log.WaitForText("marker-two")) << second_log.text();
}

TEST_F(HypervisorContractConsole, IsFreeAgainAfterASessionIsDestroyed) {
  const DomainSpec spec = Run("contract-a");
  ConsoleLog log;
  auto session = hypervisor_->OpenConsole(spec.uuid, false, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  session->reset();
  const auto until = std::chrono::steady_clock::now() + kPatience;
  absl::Status status;
  // The port is given back in the background.
  do {
    status = hypervisor_->OpenConsole(spec.uuid, false, log.Handler()).status();
  } while (!status.ok() && std::chrono::steady_clock::now() < until);
  EXPECT_EQ(status, absl::OkStatus());
}

TEST_F(HypervisorContractConsole, EndsWithTheGuest) {
  const DomainSpec spec = Run("contract-a");
  ConsoleLog log;
  auto session = hypervisor_->OpenConsole(spec.uuid, false, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  ASSERT_EQ(hypervisor_->DestroyDomain(spec.uuid), absl::OkStatus());
  ASSERT_TRUE(log.WaitForClosed());
  EXPECT_EQ(ReasonOf(log.reason()), ErrorReason::ERROR_REASON_INVALID_INSTANCE_STATE)
      << log.reason();
  EXPECT_FALSE((*session)->Write("x").ok());
}

TEST_F(HypervisorContractConsole, EndsWithTheConnection) {
  const DomainSpec spec = Run("contract-a");
  ConsoleLog log;
  auto session = hypervisor_->OpenConsole(spec.uuid, false, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  harness_->KillDaemon();
  const bool closed = log.WaitForClosed();
  harness_->StartDaemon();
  ASSERT_TRUE(closed);
  EXPECT_EQ(ReasonOf(log.reason()), ErrorReason::ERROR_REASON_HYPERVISOR_UNAVAILABLE)
      << log.reason();
}

TEST_F(HypervisorContractConsole, MayOutliveItsHypervisor) {
  const DomainSpec spec = Run("contract-a");
  ConsoleLog log;
  auto session = hypervisor_->OpenConsole(spec.uuid, false, log.Handler());
  ASSERT_TRUE(session.ok()) << session.status();
  hypervisor_->Stop();
  EXPECT_TRUE(log.WaitForClosed());
  hypervisor_.reset();
  EXPECT_FALSE((*session)->Write("x").ok());
  session->reset();
}

}  // namespace
}  // namespace cvm::hypervisor
