#include "core/model/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/model/duration.h"

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;

TEST(DurationTest, ReadsAndWrites) {
  struct Row {
    const char* text;
    std::int64_t seconds;
    const char* written;
  };
  for (const Row& row : std::initializer_list<Row>{{"0", 0, "0"},
                                                   {"0h", 0, "0"},
                                                   {"5s", 5, "5s"},
                                                   {"90s", 90, "90s"},
                                                   {"60s", 60, "1m"},
                                                   {"5m", 300, "5m"},
                                                   {"60m", 3600, "1h"},
                                                   {"1d", 86400, "24h"},
                                                   {"24h", 86400, "24h"},
                                                   {"36h", 129600, "36h"},
                                                   {"168h", 604800, "7d"}}) {
    const auto parsed = ParseDuration(row.text);
    ASSERT_TRUE(parsed.has_value()) << row.text;
    EXPECT_EQ(parsed->count(), row.seconds) << row.text;
    EXPECT_EQ(FormatDuration(*parsed), row.written);
    EXPECT_EQ(ParseDuration(row.written), parsed);
  }
}

TEST(DurationTest, RefusesWhatIsNone) {
  for (const char* text : {"", "5", "s", "-5s", "+5s", " 5s", "5s ", "5 s", "5S", "1.5h", "1h30m",
                           "5w", "99999999999999999999s", "9223372036854775807d", "0x5s"}) {
    EXPECT_FALSE(ParseDuration(text).has_value()) << text;
  }
}

TEST(RetentionTextTest, ALimitMeansTheStandardGrid) {
  EXPECT_EQ(*ParseRetention("24h"),
            (std::vector<RetentionTier>{
                {hours{1}, seconds{0}}, {hours{6}, minutes{5}}, {hours{24}, hours{1}}}));
  EXPECT_EQ(*ParseRetention("6h"),
            (std::vector<RetentionTier>{{hours{1}, seconds{0}}, {hours{6}, minutes{5}}}));
  EXPECT_EQ(*ParseRetention("2h"),
            (std::vector<RetentionTier>{{hours{1}, seconds{0}}, {hours{2}, minutes{5}}}));
  EXPECT_EQ(*ParseRetention("10s"), (std::vector<RetentionTier>{{seconds{10}, seconds{0}}}));
}

TEST(RetentionTextTest, ReadsBackAsWritten) {
  for (const char* text : {"24h", "3d", "30m", "1h:all,24h:15m,7d:24h", "30m:all,6h:5m,24h:1h",
                           "24h:15m", "10s:all,20s:5s"}) {
    const auto tiers = ParseRetention(text);
    ASSERT_TRUE(tiers.has_value()) << text;
    EXPECT_EQ(FormatRetention(*tiers), text);
  }
}

TEST(RetentionTextTest, RefusesWithTheReason) {
  struct Row {
    const char* text;
    const char* reason;
  };
  for (const Row& row :
       std::initializer_list<Row>{{"", "neither a duration nor a grid"},
                                  {"soon", "neither a duration nor a grid"},
                                  {"0", "the age 0 is out of range: 1s to 3650d"},
                                  {"4000d", "the age 4000d is out of range"},
                                  {"1h:all,", "'' lacks its interval"},
                                  {"1h:all,24h", "'24h' lacks its interval"},
                                  {"x:all", "'x:all' begins with no duration"},
                                  {"1h:0", "'0' is neither 'all' nor a duration above 0"},
                                  {"1h:", "'' is neither 'all'"},
                                  {"24h:15m,1h:1h", "the age 1h follows 24h"},
                                  {"1h:all,1h:5m", "the age 1h follows 1h"},
                                  {"1h:15m,24h:5m", "intervals must not fall"},
                                  {"1h:15m,24h:all", "intervals must not fall"},
                                  {"1h:2h", "the interval 2h is longer than its age 1h"}}) {
    const auto tiers = ParseRetention(row.text);
    ASSERT_FALSE(tiers.has_value()) << row.text;
    EXPECT_EQ(tiers.error().kind, ErrorKind::kUsage);
    EXPECT_EQ(tiers.error().code, ErrorCode::kPolicyInvalid);
    EXPECT_THAT(tiers.error().message, HasSubstr(std::string("--retention ") + row.text));
    EXPECT_THAT(tiers.error().message, HasSubstr(row.reason));
    EXPECT_FALSE(tiers.error().action.empty());
  }
}

TEST(RetentionCountTest, CountsEachTierOnce) {
  const auto standard = *ParseRetention("24h");
  EXPECT_EQ(CountRetainedPoints(standard, minutes{5}), 12u + 60 + 18);
  EXPECT_EQ(CountRetainedPoints(standard, seconds{30}), 120u + 60 + 18);
  // A point every 2 hours: no tier can keep more than there are.
  EXPECT_EQ(CountRetainedPoints(standard, hours{2}), 1u + 3 + 9);
  EXPECT_EQ(CountRetainedPoints(*ParseRetention("10s"), hours{24}), kLeastPointsOfAnItem);
}

Policy Valid() {
  Policy policy;
  policy.name = "hourly";
  policy.retention = StandardRetention(hours{24});
  return policy;
}

TEST(PolicyTest, TheDefaultsAreValidAtEveryFrequency) {
  for (std::int64_t frequency = 5; frequency <= 86400; ++frequency) {
    Policy policy = Valid();
    policy.frequency = seconds{frequency};
    policy.retention = *ParseRetention("24h", policy.frequency);
    ASSERT_TRUE(ValidatePolicy(policy).has_value()) << frequency;
  }
}

TEST(PolicyTest, AFrequentPolicyKeepsAllForAShorterTime) {
  EXPECT_EQ(StandardRetention(hours{24}, seconds{10}), StandardRetention(hours{24}));
  EXPECT_EQ(FormatRetention(StandardRetention(hours{24}, seconds{5})), "30m:all,6h:5m,24h:1h");
}

TEST(PolicyTest, RefusesNamingOptionValueAndRange) {
  struct Row {
    void (*spoil)(Policy&);
    const char* message;
  };
  for (const Row& row : std::initializer_list<Row>{
           {[](Policy& p) { p.frequency = seconds{4}; },
            "--frequency 4s is out of range: 5s to 24h"},
           {[](Policy& p) { p.frequency = hours{25}; },
            "--frequency 25h is out of range: 5s to 24h"},
           {[](Policy& p) { p.app_consistent = minutes{30}; },
            "--app-consistent 30m is out of range: 0 (never), or 1h to 12h"},
           {[](Policy& p) { p.app_consistent = hours{13}; }, "--app-consistent 13h is out of"},
           {[](Policy& p) { p.start = "24:00"; }, "--start 24:00 is no time of day"},
           {[](Policy& p) { p.start = "7:30"; }, "--start 7:30"},
           {[](Policy& p) { p.start = "07:60"; }, "--start 07:60"},
           {[](Policy& p) { p.start = ""; }, "--start "},
           {[](Policy& p) { p.name = ""; }, "'' cannot be the name of a policy"},
           {[](Policy& p) { p.name = "../x"; }, "'../x' cannot be the name"},
           {[](Policy& p) { p.name = "a/b"; }, "'a/b' cannot be the name"},
           {[](Policy& p) { p.retention.clear(); }, "there is no tier"},
           {[](Policy& p) {
              p.retention = {{hours{24}, seconds{0}}, {hours{1}, hours{1}}};
            },
            "ages must rise"},
           {[](Policy& p) { p.retention = StandardRetention(hours{720}); },
            "--retention 30d keeps 786 points at --frequency 5m; an item holds at most 500"}}) {
    Policy policy = Valid();
    row.spoil(policy);
    const Status status = ValidatePolicy(policy);
    ASSERT_FALSE(status.has_value()) << row.message;
    EXPECT_EQ(status.error().kind, ErrorKind::kUsage);
    EXPECT_THAT(status.error().message, HasSubstr(row.message));
    EXPECT_FALSE(status.error().action.empty());
  }
}

TEST(PolicyTest, AnOverfullGridIsAnsweredWithOneThatFits) {
  Policy policy = Valid();
  policy.retention = StandardRetention(hours{720});
  const Status status = ValidatePolicy(policy);
  ASSERT_FALSE(status.has_value());
  const std::string& action = status.error().action;
  const std::string option = "--retention ";
  const auto at = action.find(option);
  ASSERT_NE(at, std::string::npos) << action;
  policy.retention = *ParseRetention(action.substr(at + option.size()));
  EXPECT_EQ(policy.retention.back().age, hours{720});
  EXPECT_TRUE(ValidatePolicy(policy).has_value());
}

TEST(PolicyTest, RetryDelaysAreReadAndWritten) {
  EXPECT_EQ(FormatRetryDelays(StandardRetryDelays()), "1m,2m,4m,8m,10m,30m");
  for (const char* text : {"1s", "1m,2m,4m,8m,10m,30m", "24h,1s,90s"}) {
    const auto delays = ParseRetryDelays(text);
    ASSERT_TRUE(delays.has_value()) << text;
    EXPECT_EQ(FormatRetryDelays(*delays), text);
  }
  std::string sixteen = "1s";
  for (int i = 1; i < 16; ++i) sixteen += ",1s";
  EXPECT_TRUE(ParseRetryDelays(sixteen).has_value());
  for (const std::string& text :
       {std::string(), std::string("0"), std::string("25h"), std::string("1m,"), std::string(",1m"),
        std::string("1m,soon"), sixteen + ",1s"}) {
    const auto delays = ParseRetryDelays(text);
    ASSERT_FALSE(delays.has_value()) << text;
    EXPECT_EQ(delays.error().code, ErrorCode::kPolicyInvalid);
    EXPECT_THAT(delays.error().message, HasSubstr("--retry-delays " + text));
    EXPECT_FALSE(delays.error().action.empty());
  }
  Policy policy = Valid();
  policy.retry_delays.clear();
  EXPECT_FALSE(ValidatePolicy(policy).has_value());
}

TEST(PolicyTest, LimitsOfTheRangesAreInside) {
  for (const char* start : {"now", "00:00", "23:59"}) {
    Policy policy = Valid();
    policy.start = start;
    policy.frequency = hours{24};
    policy.app_consistent = hours{12};
    EXPECT_TRUE(ValidatePolicy(policy).has_value()) << start;
  }
}

}  // namespace
}  // namespace asr
