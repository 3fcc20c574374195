// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace cvm::cli {
namespace {

TEST(FormatProgress, CutsTheTextAndKeepsTheFigures) {
  const ProgressState state{.title = "START_INSTANCE ins-1", .stage = "größer", .percent = 7};
  EXPECT_EQ(FormatProgress(state, absl::Seconds(65), 80),
            "START_INSTANCE ins-1: größer    7%  1:05");
  EXPECT_EQ(FormatProgress(state, absl::Seconds(65), 38), "START_INSTANCE ins-1: grö    7%  1:05");
  EXPECT_EQ(FormatProgress(state, absl::Seconds(65), 3), "    7%  1:05");
}

TEST(Progress, PlainShowsNewStagesAndTenPercentSteps) {
  std::ostringstream err;
  FakeClock clock;
  {
    Progress progress(err, Progress::Mode::kPlain, 80, clock);
    progress.Update({.title = "T", .stage = "a", .percent = 0}, absl::Seconds(0));
    progress.Update({.title = "T", .stage = "a", .percent = 9}, absl::Seconds(1));
    progress.Update({.title = "T", .stage = "a", .percent = 12}, absl::Seconds(2));
    progress.Update({.title = "T", .stage = "b", .percent = 13}, absl::Seconds(3));
    progress.Update({.title = "T", .stage = "b", .percent = 13}, absl::Seconds(4));
  }
  EXPECT_EQ(err.str(), "T: a    0%  0:00\nT: a   12%  0:02\nT: b   13%  0:03\n");
}

TEST(Progress, LiveWritesOverItsLineAndTakesItAway) {
  std::ostringstream err;
  FakeClock clock;
  {
    Progress progress(err, Progress::Mode::kLive, 80, clock);
    progress.Update({.title = "T", .stage = "a", .percent = 1}, absl::Seconds(0));
    progress.Note("by the way");
    progress.Clear();
    progress.Clear();
  }
  EXPECT_EQ(err.str(),
            "\rT: a    1%  0:00\x1b[K"
            "\r\x1b[Kcvmctl: by the way\n"
            "\rT: a    1%  0:00\x1b[K"
            "\r\x1b[K");
}

TEST(Progress, LiveShowsTheTimeThatHasPassed) {
  std::ostringstream err;
  FakeClock clock;
  Progress progress(err, Progress::Mode::kLive, 80, clock);
  progress.Update({.title = "T", .stage = "a", .percent = 1}, absl::Seconds(5));
  clock.Advance(absl::Seconds(2));
  progress.Note("n");
  progress.Clear();
  EXPECT_THAT(err.str(), ::testing::HasSubstr("T: a    1%  0:07"));
}

TEST(Progress, OffShowsNotesOnly) {
  std::ostringstream err;
  FakeClock clock;
  {
    Progress progress(err, Progress::Mode::kOff, 80, clock);
    progress.Update({.title = "T", .stage = "a", .percent = 1}, absl::Seconds(0));
    progress.Note("n\x1b");
  }
  EXPECT_EQ(err.str(), "cvmctl: n?\n");
}

TEST(Progress, TakesOperationsAndSaysThatTheyAreUndone) {
  std::ostringstream err;
  FakeClock clock;
  Progress progress(err, Progress::Mode::kPlain, 80, clock);
  agent::v1::Operation operation;
  operation.set_action(agent::v1::Operation::CREATE_INSTANCE);
  operation.set_target_id("ins-00000001");
  operation.set_stage("creating the disks");
  operation.set_percent(40);
  operation.set_undoing(true);
  operation.mutable_elapsed()->set_seconds(7);
  progress.Update(operation);
  EXPECT_EQ(err.str(), "CREATE_INSTANCE ins-00000001: undoing: creating the disks   40%  0:07\n");
}

}  // namespace
}  // namespace cvm::cli
