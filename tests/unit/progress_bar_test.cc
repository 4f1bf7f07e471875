#include "cli/progress_bar.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/base/bytes.h"
#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ProgressBarTest, ShowsPartRateAndRemainingTime) {
  testing::FakeClock clock;
  std::ostringstream err;
  ProgressBar bar(err, clock, {.bars = true, .task_lines = true});
  bar.TaskStarted("Replicate disk root", 100 * kMiB);
  clock.Advance(10);
  bar.TaskAdvanced(25 * kMiB);
  EXPECT_THAT(err.str(), HasSubstr(" 25 %  25.0 MiB of 100.0 MiB  2.5 MiB/s  ETA 30 s"));
  clock.Advance(30);
  bar.TaskAdvanced(75 * kMiB);
  bar.TaskEnded(true);
  EXPECT_THAT(err.str(), HasSubstr("done   Replicate disk root  100.0 MiB in 40 s  2.5 MiB/s\n"));
}

TEST(ProgressBarTest, IsDrawnAtMostTenTimesASecond) {
  testing::FakeClock clock;
  std::ostringstream err;
  ProgressBar bar(err, clock, {.bars = true});
  bar.TaskStarted("t", 1000);
  const std::size_t before = err.str().size();
  for (int i = 0; i < 100; ++i) bar.TaskAdvanced(1);
  EXPECT_EQ(err.str().size(), before);
}

TEST(ProgressBarTest, IsSilentWithoutATerminal) {
  testing::FakeClock clock;
  std::ostringstream err;
  {
    ProgressBar bar(err, clock, {});
    bar.TaskStarted("t", 10);
    clock.Advance(1);
    bar.TaskAdvanced(5);
    bar.TaskEnded(true);
  }
  EXPECT_EQ(err.str(), "");
}

TEST(ProgressBarTest, WarningsComeAsTextOrJsonOrNotAtAll) {
  testing::FakeClock clock;
  std::ostringstream err;
  ProgressBar(err, clock, {}).Warn("disk is\nfull");
  EXPECT_EQ(err.str(), "WARNING: disk is?full\n");
  err.str("");
  ProgressBar(err, clock, {.json = true}).Warn("a \"b\"");
  EXPECT_EQ(err.str(), "{\"warning\":{\"message\":\"a \\\"b\\\"\"}}\n");
  err.str("");
  ProgressBar(err, clock, {.warnings = false}).Warn("x");
  EXPECT_EQ(err.str(), "");
}

}  // namespace
}  // namespace asr
