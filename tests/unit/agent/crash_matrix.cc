// SPDX-License-Identifier: Apache-2.0
#include "tests/unit/agent/crash_matrix.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "common/file.h"

namespace cvm::agent::core {
namespace {

// More than any workflow makes.
constexpr uint64_t kMostWrites = 1000;

// Nullptr: faults.cc is not loaded.
faults::Control* LoadedFaults() {
  static faults::Control* const loaded = []() -> faults::Control* {
    const char* path = getenv("CVM_FAULT_CONTROL");
    if (path == nullptr) return nullptr;
    const UniqueFd fd(open(path, O_RDWR | O_CLOEXEC));
    void* memory =
        mmap(nullptr, sizeof(faults::Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
    // Kills would be tried in place of full disks.
    if (memory == MAP_FAILED) std::abort();
    return static_cast<faults::Control*>(memory);
  }();
  return loaded;
}

bool IsFullRun() {
  const char* depth = getenv("CVM_TEST_DEPTH");
  return depth != nullptr && std::string_view(depth) == "full";
}

void FailWrite(faults::Control& faults, uint64_t number) {
  faults.fail_at = 0;
  faults.calls = 0;
  faults.failed = 0;
  faults.fail_count = 1;
  faults.fail_at = number;
}

// The client that had no answer asks again.
void ExpectReplay(const absl::StatusOr<v1::Operation>& replay, const v1::Operation& operation) {
  ASSERT_TRUE(replay.ok()) << replay.status();
  EXPECT_EQ(replay->id(), operation.id());
  EXPECT_EQ(replay->state(), operation.state());
}

}  // namespace

void CrashMatrixTest::ForEverySite(const std::function<void()>& prepare, const Submit& submit,
                                   const std::function<void(const Operation&)>& check,
                                   size_t at_least) {
  if (faults::Control* const faults = LoadedFaults()) {
    ForEveryWrite(*faults, prepare, submit, check);
    return;
  }
  size_t sites = 0;
  bool reached = true;
  for (size_t site = 0; reached; ++site) {
    prepare();
    if (HasFatalFailure()) return;
    const std::string request_id = "request-" + std::to_string(++requests_);
    agent_.crash_sites.Arm(site);
    const auto submitted = submit(request_id);
    if (!submitted.ok() && agent_.crash_sites.crashed()) {
      // Killed before anything was written down: it never happened.
      agent_.crash_sites.Disarm();
      agent_.Restart();
      agent_.ExpectNothingLeftOver();
      sites = site + 1;
      continue;
    }
    ASSERT_TRUE(submitted.ok()) << submitted.status();
    reached = agent_.WaitCrashOrEnd(submitted->id());
    const std::vector<std::string> passed = agent_.crash_sites.passed();
    agent_.crash_sites.Disarm();
    SCOPED_TRACE(reached ? passed.back() : "no crash");
    if (reached) {
      ASSERT_EQ(passed.size(), site + 1);
      agent_.Restart();
      sites = site + 1;
    }
    const Operation operation = agent_.WaitEndAdvancing(submitted->id());
    EXPECT_NE(operation.state(), Operation::OPERATING);
    agent_.ExpectNothingLeftOver();
    check(operation);
    ExpectReplay(submit(request_id), operation);
    if (HasFailure()) return;
  }
  // The sites were really there.
  EXPECT_GE(sites, at_least);
}

void CrashMatrixTest::ForEveryWrite(faults::Control& faults, const std::function<void()>& prepare,
                                    const Submit& submit,
                                    const std::function<void(const Operation&)>& check) {
  // A quarter of the writes in the default run.
  const uint64_t step = IsFullRun() ? 1 : 4;
  std::optional<Operation> smooth;
  uint64_t met = 0;
  for (uint64_t number = 0; number < kMostWrites; number += number == 0 ? 1 : step) {
    prepare();
    if (HasFatalFailure()) return;
    const std::string request_id = "request-" + std::to_string(++requests_);
    FailWrite(faults, number);
    const auto submitted = submit(request_id);
    std::optional<Operation> operation;
    if (submitted.ok()) operation = agent_.WaitEndAdvancing(submitted->id());
    const bool failed = faults.failed != 0;
    FailWrite(faults, 0);
    agent_.host->ForgetFaults();
    agent_.Settle();
    SCOPED_TRACE("write " + std::to_string(number) + ": " + (failed ? faults.last : "none failed"));
    const bool tidied = operation && operation->state() == Operation::SUCCESS;
    if (tidied || !begins_untidy_) agent_.ExpectNothingLeftOver();
    if (!operation) {
      // It could not be written down: it never happened.
      EXPECT_TRUE(failed) << submitted.status();
      EXPECT_EQ(ReasonOf(submitted.status()), ErrorReason::ERROR_REASON_STORE_UNAVAILABLE);
      if (HasFailure()) return;
      ++met;
      continue;
    }
    if (!smooth) smooth = operation;
    if (operation->state() == smooth->state() && ReasonOf(*operation) == ReasonOf(*smooth)) {
      check(*operation);
    } else if (smooth->state() == Operation::SUCCESS) {
      EXPECT_EQ(operation->state(), Operation::FAILED) << operation->ShortDebugString();
    } else {
      // The fault that the test has made was met by an attempt that could not be written down.
      EXPECT_NE(operation->state(), Operation::OPERATING);
    }
    ExpectReplay(submit(request_id), *operation);
    if (HasFailure()) return;
    if (failed) {
      ++met;
    } else if (number > 0) {
      EXPECT_GE(met, step == 1 ? 3u : 1u) << "the faults are not met";
      return;
    }
  }
  ADD_FAILURE() << "there is no end to the writes";
}

}  // namespace cvm::agent::core
