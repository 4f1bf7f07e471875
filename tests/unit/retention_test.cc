#include "core/points/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// 2026-11-23T12:00:00Z: on a boundary of every interval up to a day's half.
const Timestamp kNoon{seconds{1'795'435'200}};

RetentionPoint At(std::chrono::milliseconds before_noon, Consistency consistency,
                  bool kept_by_hand = false) {
  const Timestamp time = kNoon - before_noon;
  return {{FormatCompactTime(time)}, time, consistency, kept_by_hand};
}
RetentionPoint Crash(std::chrono::milliseconds before_noon) {
  return At(before_noon, Consistency::kCrash);
}
RetentionPoint App(std::chrono::milliseconds before_noon) {
  return At(before_noon, Consistency::kApp);
}
RetentionPoint Held(std::chrono::milliseconds before_noon) {
  return At(before_noon, Consistency::kCrash, true);
}

// Three points so new that no tier ever looks at the others because of them.
std::vector<RetentionPoint> WithNewest(std::vector<RetentionPoint> points) {
  for (const int age : {1, 2, 3}) points.push_back(Crash(seconds{age}));
  return points;
}

std::vector<RetentionTier> Grid(const char* text) { return *ParseRetention(text); }

TEST(RetentionTest, KeepsAllOfTheTierThatKeepsAll) {
  std::vector<RetentionPoint> points;
  for (int i = 0; i < 120; ++i) points.push_back(Crash(seconds{30} * i));
  EXPECT_THAT(DecideRetention(Grid("24h"), points, kNoon).removals, IsEmpty());
}

TEST(RetentionTest, KeepsTheOldestOfEachSlot) {
  const auto decision =
      DecideRetention(Grid("1h:all,6h:1h"),
                      WithNewest({Crash(minutes{170}), Crash(minutes{150}), Crash(minutes{130}),
                                  Crash(minutes{110}), Crash(minutes{90})}),
                      kNoon);
  EXPECT_THAT(decision.removals,
              ElementsAre(Removal{Crash(minutes{150}).id, RemovalReason::kThinned},
                          Removal{Crash(minutes{130}).id, RemovalReason::kThinned},
                          Removal{Crash(minutes{90}).id, RemovalReason::kThinned}));
  EXPECT_FALSE(decision.asks);
}

TEST(RetentionTest, PrefersAppConsistentPoints) {
  const auto decision = DecideRetention(
      Grid("1h:all,6h:1h"),
      WithNewest({Crash(minutes{170}), App(minutes{150}), App(minutes{140}), Crash(minutes{130})}),
      kNoon);
  EXPECT_THAT(decision.removals,
              ElementsAre(Removal{Crash(minutes{170}).id, RemovalReason::kThinned},
                          Removal{App(minutes{140}).id, RemovalReason::kThinned},
                          Removal{Crash(minutes{130}).id, RemovalReason::kThinned}));
}

TEST(RetentionTest, APointThatGrowsIntoASlotDoesNotPushOutTheOneBefore) {
  // At noon the slot 10:00 to 11:00 is whole; at 11:30 only its first half is an hour old.
  const auto tiers = Grid("1h:all,6h:1h");
  const auto points = WithNewest({Crash(minutes{110}), Crash(minutes{70})});
  EXPECT_THAT(DecideRetention(tiers, points, kNoon - minutes{30}).removals, IsEmpty());
  EXPECT_THAT(DecideRetention(tiers, points, kNoon).removals,
              ElementsAre(Removal{Crash(minutes{70}).id, RemovalReason::kThinned}));
}

TEST(RetentionTest, PointsBeyondTheLastTierGo) {
  // Exactly as old as the limit is still inside.
  const auto decision = DecideRetention(
      Grid("24h"), WithNewest({Crash(hours{24}), Crash(hours{24} + std::chrono::milliseconds{1})}),
      kNoon);
  EXPECT_THAT(decision.removals,
              ElementsAre(Removal{Crash(hours{24} + std::chrono::milliseconds{1}).id,
                                  RemovalReason::kExpired}));
}

TEST(RetentionTest, TheNewestThreeStayHoweverOld) {
  const auto decision = DecideRetention(
      Grid("1h"), {Crash(hours{9}), Crash(hours{8}), Crash(hours{7}), Crash(hours{6})}, kNoon);
  EXPECT_THAT(decision.removals, ElementsAre(Removal{Crash(hours{9}).id, RemovalReason::kExpired}));
  EXPECT_FALSE(decision.asks);
}

TEST(RetentionTest, HeldPointsStayAndDoNotStandForOthers) {
  const auto decision = DecideRetention(
      Grid("1h:all,6h:1h"), WithNewest({Held(hours{100}), Crash(minutes{170}), Held(minutes{150})}),
      kNoon);
  EXPECT_THAT(decision.removals, IsEmpty());
}

TEST(RetentionTest, PointsFromTheFutureStay) {
  const auto decision = DecideRetention(Grid("24h:1h"),
                                        {Crash(-minutes{1}), Crash(-minutes{2}), Crash(-minutes{3}),
                                         Crash(-minutes{4}), Crash(-minutes{5})},
                                        kNoon);
  EXPECT_THAT(decision.removals, IsEmpty());
}

TEST(RetentionTest, ABurstThinsItselfOutAndNotTheHistory) {
  std::vector<RetentionPoint> points;
  for (int i = 1; i <= 20; ++i) points.push_back(Crash(hours{i}));
  points.push_back(App(seconds{100}));
  for (int i = 0; i < 600; ++i) points.push_back(Crash(seconds{1} * i + seconds{200}));
  const auto decision = DecideRetention(Grid("24h"), points, kNoon);
  EXPECT_EQ(points.size() - decision.removals.size(), kMostPointsOfAnItem);
  for (const Removal& removal : decision.removals) {
    EXPECT_EQ(removal.reason, RemovalReason::kTooMany);
    EXPECT_GT(removal.id, Crash(hours{1}).id) << "history went";
    EXPECT_NE(removal.id, App(seconds{100}).id);
  }
  EXPECT_FALSE(decision.asks);
}

TEST(RetentionTest, PointsKeptByHandMayBeMoreThanTheCap) {
  std::vector<RetentionPoint> points;
  for (int i = 0; i < 600; ++i) points.push_back(Held(seconds{i + 10}));
  points.push_back(Crash(minutes{30}));
  const auto decision = DecideRetention(Grid("24h"), points, kNoon);
  EXPECT_THAT(decision.removals,
              ElementsAre(Removal{Crash(minutes{30}).id, RemovalReason::kTooMany}));
}

TEST(RetentionTest, AsksBeforeOverHalfGoes) {
  struct Row {
    int old_points;
    int new_points;
    bool asks;
  };
  for (const Row& row : {Row{4, 3, true}, Row{3, 3, false}, Row{4, 4, false}, Row{5, 4, true},
                         Row{0, 9, false}, Row{100, 3, true}}) {
    std::vector<RetentionPoint> points;
    for (int i = 0; i < row.old_points; ++i) points.push_back(Crash(hours{48} + minutes{i}));
    for (int i = 0; i < row.new_points; ++i) points.push_back(Crash(minutes{i}));
    const auto decision = DecideRetention(Grid("24h"), points, kNoon);
    EXPECT_EQ(decision.removals.size(), static_cast<std::size_t>(row.old_points));
    EXPECT_EQ(decision.asks, row.asks) << row.old_points << " of " << points.size();
  }
}

TEST(RetentionTest, NoPointsNothingGoes) {
  const auto decision = DecideRetention(Grid("24h"), {}, kNoon);
  EXPECT_THAT(decision.removals, IsEmpty());
  EXPECT_FALSE(decision.asks);
}

TEST(RetentionNowTest, TheEarliestClockCounts) {
  const Timestamp early = kNoon - hours{5};
  EXPECT_EQ(RetentionNow(kNoon, std::nullopt, std::nullopt, minutes{5}), kNoon);
  EXPECT_EQ(RetentionNow(kNoon, early, std::nullopt, minutes{5}), early);
  EXPECT_EQ(RetentionNow(early, kNoon, std::nullopt, minutes{5}), early);
  EXPECT_EQ(RetentionNow(kNoon, kNoon, early, minutes{5}), early + minutes{10});
  EXPECT_EQ(RetentionNow(kNoon, kNoon, kNoon, minutes{5}), kNoon);
}

}  // namespace
}  // namespace asr
