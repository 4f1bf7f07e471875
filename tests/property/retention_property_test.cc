// Weeks of points in fake time, retention run after each: what must hold at every moment.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>

#include "core/points/retention.h"

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

struct Scenario {
  const char* grid;
  seconds frequency;
  hours length;
  double outage_chance;  // of a pause of up to 9 hours after a point
};

class RetentionProperty : public ::testing::TestWithParam<std::tuple<Scenario, unsigned>> {
 protected:
  void MakePoint() {
    const bool app = random_() % 12 == 0;
    const bool held = random_() % 400 == 0;
    const RetentionPoint point{
        {FormatCompactTime(now_)}, now_, app ? Consistency::kApp : Consistency::kCrash, held};
    points_.push_back(point);
    made_.push_back(now_);
  }

  void Wait(const Scenario& scenario) {
    const auto cycle = milliseconds(scenario.frequency).count();
    now_ += milliseconds{cycle - cycle / 10 + static_cast<std::int64_t>(random_()) % (cycle / 10)};
    if (std::uniform_real_distribution<>(0, 1)(random_) < scenario.outage_chance) {
      now_ += seconds{random_() % (9 * 3600)};
    }
  }

  void Remove(const RetentionDecision& decision) {
    std::set<PointId> gone;
    for (const Removal& removal : decision.removals) gone.insert(removal.id);
    ASSERT_EQ(gone.size(), decision.removals.size());
    const std::vector<RetentionPoint> before = points_;
    std::erase_if(points_, [&](const RetentionPoint& point) { return gone.count(point.id) > 0; });
    ASSERT_EQ(points_.size() + gone.size(), before.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      const bool stays = gone.count(before[i].id) == 0;
      ASSERT_TRUE(stays || !before[i].kept_by_hand) << "a held point went";
      ASSERT_TRUE(stays || i + kLeastPointsOfAnItem < before.size()) << "one of the newest went";
    }
  }

  seconds IntervalAt(Timestamp time) const {
    for (const RetentionTier& tier : tiers_) {
      if (now_ - time <= tier.age) return tier.interval;
    }
    return tiers_.back().interval;
  }

  // The longest time without a new point that touches the time between two instants.
  milliseconds LongestPause(Timestamp from, Timestamp to) const {
    milliseconds longest{0};
    auto each = std::prev(std::upper_bound(made_.begin(), made_.end(), from));
    for (; each != made_.end() && *each < to && std::next(each) != made_.end(); ++each) {
      longest = std::max(longest, *std::next(each) - *each);
    }
    return longest;
  }

  void CheckGaps() const {
    const Timestamp horizon = now_ - tiers_.back().age;
    Timestamp previous = std::max(horizon, made_.front());
    for (const RetentionPoint& point : points_) {
      if (point.time <= previous) continue;
      const milliseconds pause = LongestPause(previous, point.time);
      const milliseconds gap = point.time - previous;
      // A pause of the VM's own may empty slots; nothing else may.
      const milliseconds allowed = std::max<milliseconds>(2 * IntervalAt(previous), pause);
      const milliseconds slack =
          pause > IntervalAt(previous) ? 2 * IntervalAt(previous) : seconds{0};
      ASSERT_LE(gap, allowed + slack) << "before " << point.id.value << " at " << FormatTime(now_);
      previous = point.time;
    }
  }

  // However many finer tiers a point grew through, each slot of the last tier still has one.
  void CheckSlotsOfLastTier() const {
    const milliseconds interval = tiers_.back().interval;
    const auto slot_of = [&](Timestamp time) { return time.time_since_epoch() / interval; };
    std::set<std::int64_t> made_slots;
    std::set<std::int64_t> kept_slots;
    for (const Timestamp time : made_) made_slots.insert(slot_of(time));
    for (const RetentionPoint& point : points_) kept_slots.insert(slot_of(point.time));
    // The slot that the limit cuts may have lost its point to it.
    const std::int64_t first_whole = slot_of(now_ - tiers_.back().age) + 1;
    made_slots.erase(made_slots.begin(), made_slots.lower_bound(first_whole));
    kept_slots.erase(kept_slots.begin(), kept_slots.lower_bound(first_whole));
    ASSERT_GT(made_slots.size(), 3u);
    ASSERT_EQ(kept_slots, made_slots);
  }

  std::vector<RetentionTier> tiers_;
  std::mt19937 random_;
  Timestamp now_{seconds{1'795'502'345}};
  std::vector<RetentionPoint> points_;
  std::vector<Timestamp> made_;
};

TEST_P(RetentionProperty, HoldsAtEveryMoment) {
  const auto& [scenario, seed] = GetParam();
  random_.seed(seed);
  tiers_ = *ParseRetention(scenario.grid, scenario.frequency);
  ASSERT_LE(CountRetainedPoints(tiers_, scenario.frequency), kMostPointsOfAnItem);
  const Timestamp end = now_ + scenario.length;
  for (int step = 0; now_ < end; ++step) {
    MakePoint();
    Remove(DecideRetention(tiers_, points_, now_));
    ASSERT_LE(points_.size(), kMostPointsOfAnItem);
    ASSERT_GE(points_.size(), std::min(made_.size(), kLeastPointsOfAnItem));
    ASSERT_EQ(points_.back().time, now_);
    if (step % 16 == 0) {
      ASSERT_TRUE(DecideRetention(tiers_, points_, now_).removals.empty()) << "removed more";
      CheckGaps();
    }
    if (HasFatalFailure()) return;
    Wait(scenario);
  }
  now_ = made_.back();
  CheckSlotsOfLastTier();
}

INSTANTIATE_TEST_SUITE_P(
    Streams, RetentionProperty,
    ::testing::Combine(
        ::testing::Values(Scenario{"24h", minutes{5}, hours{24 * 14}, 0},
                          Scenario{"24h", minutes{5}, hours{24 * 14}, 0.005},
                          Scenario{"72h", minutes{15}, hours{24 * 21}, 0.01},
                          Scenario{"24h", seconds{30}, hours{24 * 2}, 0.0002},
                          Scenario{"2h", seconds{5}, hours{4}, 0},
                          Scenario{"1h:all,24h:15m,7d:1d", minutes{5}, hours{24 * 21}, 0.002},
                          Scenario{"24h:15m,30d:6h", minutes{15}, hours{24 * 45}, 0.003},
                          Scenario{"2h", minutes{5}, hours{24 * 2}, 0.01}),
        ::testing::Values(1u, 2u)));

}  // namespace
}  // namespace asr
