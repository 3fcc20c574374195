// SPDX-License-Identifier: Apache-2.0
#include "common/clock.h"

#include <time.h>

#include "absl/time/clock.h"

namespace cvm {
namespace {

class RealClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::Now(); }
  absl::Duration Monotonic() const override {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return absl::DurationFromTimespec(now);
  }
};

}  // namespace

const Clock& Clock::Real() {
  // Never destroyed: threads may still ask for the time while the program ends.
  static const RealClock* const clock = new RealClock;
  return *clock;
}

absl::Time FakeClock::Now() const {
  MutexLock lock(mutex_);
  return start_ + elapsed_ + jumped_;
}

absl::Duration FakeClock::Monotonic() const {
  MutexLock lock(mutex_);
  return elapsed_;
}

void FakeClock::Advance(absl::Duration duration) {
  MutexLock lock(mutex_);
  elapsed_ += duration;
}

void FakeClock::JumpWallClock(absl::Duration by) {
  MutexLock lock(mutex_);
  jumped_ += by;
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  // Protobuf wants nanos from 0 to 999999999 also before 1970, so seconds are rounded down.
  const int64_t seconds = absl::ToUnixSeconds(time);
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(seconds);
  timestamp.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds))));
  return timestamp;
}

absl::Time FromTimestamp(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}

google::protobuf::Duration ToProtoDuration(absl::Duration duration) {
  google::protobuf::Duration proto;
  absl::Duration rest;
  // Both parts truncate toward zero and so have the same sign, as protobuf wants.
  proto.set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &rest));
  proto.set_nanos(static_cast<int32_t>(absl::ToInt64Nanoseconds(rest)));
  return proto;
}

absl::Duration FromProtoDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

}  // namespace cvm
