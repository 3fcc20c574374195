// SPDX-License-Identifier: Apache-2.0
#include "common/clock.h"

#include "gtest/gtest.h"

namespace cvm {
namespace {

TEST(Clock, RealClockIsTheWallClock) {
  const absl::Time now = absl::FromTimeT(time(nullptr));
  EXPECT_LT(absl::AbsDuration(Clock::Real().Now() - now), absl::Seconds(2));
}

TEST(Clock, MonotonicNeverGoesBack) {
  absl::Duration last = Clock::Real().Monotonic();
  const absl::Duration first = last;
  for (int i = 0; i < 10'000; ++i) {
    const absl::Duration now = Clock::Real().Monotonic();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(last, first);
}

TEST(FakeClock, StandsStillUntilAdvanced) {
  FakeClock clock(absl::FromUnixSeconds(100));
  EXPECT_EQ(clock.Now(), absl::FromUnixSeconds(100));
  EXPECT_EQ(clock.Monotonic(), absl::ZeroDuration());
  clock.Advance(absl::Milliseconds(1500));
  EXPECT_EQ(clock.Now(), absl::FromUnixMillis(101'500));
  EXPECT_EQ(clock.Monotonic(), absl::Milliseconds(1500));
}

TEST(Clock, TimestampsRoundTrip) {
  for (const absl::Time time : {absl::UnixEpoch(), absl::FromUnixNanos(1'700'000'000'123'456'789),
                                absl::FromUnixNanos(-1), absl::FromUnixNanos(-1'500'000'000)}) {
    const google::protobuf::Timestamp timestamp = ToTimestamp(time);
    EXPECT_GE(timestamp.nanos(), 0);
    EXPECT_LT(timestamp.nanos(), 1'000'000'000);
    EXPECT_EQ(FromTimestamp(timestamp), time);
  }
  EXPECT_EQ(ToTimestamp(absl::FromUnixNanos(-1)).seconds(), -1);
}

TEST(Clock, ProtoDurationsRoundTrip) {
  for (const absl::Duration duration : {absl::ZeroDuration(), absl::Nanoseconds(1'500'000'001),
                                        -absl::Nanoseconds(1'500'000'001), absl::Hours(100'000)}) {
    const google::protobuf::Duration proto = ToProtoDuration(duration);
    EXPECT_FALSE(proto.seconds() > 0 && proto.nanos() < 0);
    EXPECT_FALSE(proto.seconds() < 0 && proto.nanos() > 0);
    EXPECT_EQ(FromProtoDuration(proto), duration);
  }
}

}  // namespace
}  // namespace cvm
