// SPDX-License-Identifier: Apache-2.0
//
// Time, injected, so that tests do not sleep.
#pragma once

#include <map>

#include "absl/time/time.h"
#include "common/mutex.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

namespace cvm {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Wall clock; may jump.
  virtual absl::Time Now() const = 0;
  // Since some fixed instant; never goes back. For deadlines within a process.
  virtual absl::Duration Monotonic() const = 0;

  static const Clock& Real();
};

// Stands still until it is advanced. Both clocks move together, unless the wall clock jumps.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time start = absl::FromUnixSeconds(1'700'000'000)) : start_(start) {}
  absl::Time Now() const override;
  absl::Duration Monotonic() const override;
  void Advance(absl::Duration duration);
  // Sets the wall clock forward, or back.
  void JumpWallClock(absl::Duration by);

 private:
  const absl::Time start_;
  mutable Mutex mutex_;
  absl::Duration elapsed_ CVM_GUARDED_BY(mutex_);
  absl::Duration jumped_ CVM_GUARDED_BY(mutex_);
};

google::protobuf::Timestamp ToTimestamp(absl::Time time);
absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp);
google::protobuf::Duration ToProtoDuration(absl::Duration duration);
absl::Duration FromProtoDuration(const google::protobuf::Duration& duration);

}  // namespace cvm
