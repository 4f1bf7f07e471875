#include "storage/base/clock.h"

#include <gtest/gtest.h>

namespace asr {
namespace {

TEST(ClockTest, TimesReadBackAsWritten) {
  const Timestamp time{std::chrono::milliseconds{1'795'502'345'067}};
  EXPECT_EQ(ParseTime(FormatTime(time)), time);
  EXPECT_EQ(ParseCompactTime(FormatCompactTime(time)), time);
}

TEST(ClockTest, KnownInstant) {
  const Timestamp time{std::chrono::seconds{951'827'696}};
  EXPECT_EQ(FormatTime(time), "2000-02-29T12:34:56.000Z");
  EXPECT_EQ(FormatCompactTime(time), "20000229T123456.000Z");
}

TEST(ClockTest, ReadsOffsetsAndAnyNumberOfDecimals) {
  EXPECT_EQ(ParseTime("2026-11-23T08:30:00+02:00"), ParseTime("2026-11-23T06:30:00Z"));
  EXPECT_EQ(ParseTime("2026-11-23T06:30:00.5Z"), ParseTime("2026-11-23T06:30:00.500Z"));
  EXPECT_EQ(ParseTime("2026-11-23T06:30:00.123456789Z"), ParseTime("2026-11-23T06:30:00.123Z"));
}

TEST(ClockTest, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "yesterday", "2026-02-30T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T06:30:00",
        "2026-11-23T06:30:00.Z", "2026-11-23T06:30:00Zx"}) {
    EXPECT_FALSE(ParseTime(text).has_value()) << text;
  }
  EXPECT_FALSE(ParseCompactTime("20261123T063000Z").has_value());
}

}  // namespace
}  // namespace asr
