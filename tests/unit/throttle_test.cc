#include "core/transfer/throttle.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "core/model/throttle_rules.h"
#include "storage/blob/memory_store.h"
#include "storage/blob/throttled_store.h"
#include "tests/support/fake_clock.h"

namespace asr::testing {
namespace {

using std::chrono::hours;

TEST(ThrottleTest, NoMoreThanTheLimitGoes) {
  FakeClock clock;
  std::optional<double> limit = 1e6;
  Throttle throttle(clock, [&] { return limit; });
  const double begun = clock.MonotonicSeconds();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(throttle.Admit(100'000, {}));
  const double took = clock.MonotonicSeconds() - begun;
  EXPECT_GT(took, 9.3);  // half a second's worth and the last one may go ahead
  EXPECT_LT(took, 10.1);
}

TEST(ThrottleTest, OneWriteOfAnySizeGoesAndTheNextWaits) {
  FakeClock clock;
  Throttle throttle(clock, [] { return 1e6; });
  const double begun = clock.MonotonicSeconds();
  ASSERT_TRUE(throttle.Admit(5'000'000, {}));
  EXPECT_EQ(clock.MonotonicSeconds(), begun);
  ASSERT_TRUE(throttle.Admit(1, {}));
  EXPECT_NEAR(clock.MonotonicSeconds() - begun, 4.5, 0.1);
}

TEST(ThrottleTest, ChangesOfTheLimitAreNoticed) {
  FakeClock clock;
  std::optional<double> limit = 1000;
  Throttle throttle(clock, [&] { return limit; });
  ASSERT_TRUE(throttle.Admit(1'000'000, {}));  // a quarter of an hour in debt
  limit.reset();
  const double begun = clock.MonotonicSeconds();
  ASSERT_TRUE(throttle.Admit(1'000'000'000, {}));
  EXPECT_LE(clock.MonotonicSeconds() - begun, 1.5);
  limit = 1e6;
  clock.Advance(2);
  const double again = clock.MonotonicSeconds();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(throttle.Admit(100'000, {}));
  EXPECT_GT(clock.MonotonicSeconds() - again, 1.3);
}

TEST(ThrottleTest, AStopEndsTheWait) {
  FakeClock clock;
  Throttle throttle(clock, [] { return 1.0; });
  std::stop_source stop;
  ASSERT_TRUE(throttle.Admit(1'000'000, stop.get_token()));
  stop.request_stop();
  const Status stopped = throttle.Admit(1, stop.get_token());
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().kind, ErrorKind::kCancelled);
}

TEST(ThrottledStoreTest, WhatIsWrittenIsAdmittedFirst) {
  std::uint64_t admitted = 0;
  bool refuse = false;
  const auto store = ThrottleStore(MakeMemoryStore(), [&](std::uint64_t bytes) -> Status {
    if (refuse) return Fail(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped");
    admitted += bytes;
    return {};
  });
  ASSERT_TRUE(store->Put("a.json", AsBytes(std::string("12345"))));
  EXPECT_EQ(admitted, 5U);
  const auto blob = store->CreatePageBlob("disk.vhd", kMiB);
  ASSERT_TRUE(blob);
  const std::vector<std::byte> pages(4096, std::byte{1});
  ASSERT_TRUE((*blob)->Write(0, pages));
  ASSERT_TRUE((*store->OpenPageBlob("disk.vhd"))->Write(4096, pages));
  ASSERT_TRUE((*blob)->Clear({0, 512}));
  ASSERT_TRUE((*blob)->Flush());
  EXPECT_EQ(admitted, 5U + 2 * 4096U);
  refuse = true;
  EXPECT_FALSE((*blob)->Write(8192, pages));
  std::vector<std::byte> read(4096, std::byte{9});
  ASSERT_TRUE((*blob)->Read(8192, read));
  EXPECT_EQ(read, std::vector<std::byte>(4096));
}

class RulesTest : public ::testing::Test {
 protected:
  void SetUp() override { SetZone("UTC"); }
  void TearDown() override {
    ::unsetenv("TZ");
    ::tzset();
  }
  static void SetZone(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
};

TEST_F(RulesTest, WorkTimeIsByWeekdayAndHour) {
  const ThrottleRules rules;  // Monday to Friday, 9 to 18
  const Timestamp monday = *ParseTime("2026-11-23T00:00:00Z");
  EXPECT_FALSE(IsWorkTime(rules, monday + hours{9} - std::chrono::milliseconds{1}));
  EXPECT_TRUE(IsWorkTime(rules, monday + hours{9}));
  EXPECT_TRUE(IsWorkTime(rules, monday + hours{18} - std::chrono::milliseconds{1}));
  EXPECT_FALSE(IsWorkTime(rules, monday + hours{18}));
  EXPECT_TRUE(IsWorkTime(rules, monday + hours{4 * 24 + 12}));
  EXPECT_FALSE(IsWorkTime(rules, monday + hours{5 * 24 + 12}));
  SetZone("EST5");
  EXPECT_FALSE(IsWorkTime(rules, monday + hours{12}));
  EXPECT_TRUE(IsWorkTime(rules, monday + hours{14}));
}

TEST_F(RulesTest, WorkHoursMayGoOverMidnight) {
  ThrottleRules rules;
  ASSERT_TRUE(ParseWorkHours("22:00-6:00", rules));
  ASSERT_TRUE(ParseWorkDays("fri", rules));
  const Timestamp friday = *ParseTime("2026-11-27T00:00:00Z");
  EXPECT_FALSE(IsWorkTime(rules, friday + hours{3}));
  EXPECT_TRUE(IsWorkTime(rules, friday + hours{23}));
  EXPECT_TRUE(IsWorkTime(rules, friday + hours{24 + 3}));
  EXPECT_FALSE(IsWorkTime(rules, friday + hours{24 + 7}));
  ASSERT_TRUE(ParseWorkHours("0:00-24:00", rules));
  EXPECT_TRUE(IsWorkTime(rules, friday));
  EXPECT_FALSE(IsWorkTime(rules, friday + hours{24}));
}

TEST_F(RulesTest, LimitsAreMegabits) {
  ThrottleRules rules;
  rules.work_mbps = 50;
  const Timestamp noon = *ParseTime("2026-11-23T12:00:00Z");
  EXPECT_EQ(LimitBytesPerSecond(rules, noon), 6.25e6);
  EXPECT_EQ(LimitBytesPerSecond(rules, noon + hours{12}), std::nullopt);
  rules.other_mbps = 400;
  EXPECT_EQ(LimitBytesPerSecond(rules, noon + hours{12}), 5e7);
}

TEST_F(RulesTest, AreReadAndWritten) {
  ThrottleRules rules;
  ASSERT_TRUE(ParseWorkHours("7:30-17:05", rules));
  EXPECT_EQ(FormatWorkHours(rules), "07:30-17:05");
  ASSERT_TRUE(ParseWorkDays("fri-mon,wed", rules));
  EXPECT_EQ(FormatWorkDays(rules), "mon,wed,fri,sat,sun");
  rules.other_mbps = 7;
  EXPECT_EQ(DecodeThrottleRules(EncodeThrottleRules(rules)), rules);
  EXPECT_EQ(DecodeThrottleRules(""), std::nullopt);
  EXPECT_EQ(DecodeThrottleRules("{}"), std::nullopt);
  for (const char* bad : {"", "9-18", "9:00-9:00", "9:60-10:00", "24:00-25:00", "9:00-18:00 "}) {
    EXPECT_FALSE(ParseWorkHours(bad, rules)) << bad;
  }
  for (const char* bad : {"", "mon-", "monday", "mon,,tue", "mon,", "mon-fri-sat", "x"}) {
    EXPECT_FALSE(ParseWorkDays(bad, rules)) << bad;
  }
}

}  // namespace
}  // namespace asr::testing
