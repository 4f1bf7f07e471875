#include "core/jobs/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::IsEmpty;
using testing::kNow;
using ::testing::SizeIs;

ScheduledItem Make(const std::string& id, std::optional<Timestamp> last_start = std::nullopt) {
  ScheduledItem item;
  item.key = {.vault_id = "v", .item = {id}};
  item.host = "h";
  item.vm = id;
  item.frequency = minutes{5};
  item.last_start = last_start;
  return item;
}

std::vector<std::string> Started(const ScheduleDecision& decision) {
  std::vector<std::string> ids;
  for (const CycleStart& start : decision.starts) ids.push_back(start.key.item.value);
  return ids;
}

class ScheduleTest : public ::testing::Test {
 protected:
  ScheduleDecision Decide(const std::vector<ScheduledItem>& items, Timestamp now,
                          const std::map<ItemKey, std::string>& running = {}) {
    for (const ScheduledItem& item : items) {  // they have been there from the beginning
      EXPECT_TRUE(schedule.DueAt(item, kNow) || item.is_paused || item.is_failing);
    }
    return schedule.Decide(items, running, limits, now);
  }

  Schedule schedule{kNow};
  ScheduleLimits limits;
};

TEST_F(ScheduleTest, ACycleIsDueOnePeriodAfterTheStartOfTheLast) {
  for (const seconds frequency : {seconds{5}, seconds{300}, seconds{86400}}) {
    ScheduledItem item = Make("a", kNow);
    item.frequency = frequency;
    const auto early = Decide({item}, kNow + frequency - milliseconds{1});
    EXPECT_THAT(early.starts, IsEmpty());
    EXPECT_LE(early.look_again, kNow + frequency);
    const auto due = Decide({item}, kNow + frequency);
    ASSERT_THAT(due.starts, SizeIs(1));
    EXPECT_EQ(due.starts[0].missed_cycles, 0U);
    EXPECT_FALSE(due.starts[0].app_consistent);
  }
}

TEST_F(ScheduleTest, FirstCyclesAreSpread) {
  std::vector<ScheduledItem> items;
  for (int i = 0; i < 100; ++i) items.push_back(Make("item-" + std::to_string(i)));
  std::set<Timestamp> dues;
  for (const ScheduledItem& item : items) {
    const auto due = schedule.DueAt(item, kNow);
    ASSERT_TRUE(due);
    EXPECT_GE(*due, kNow);
    EXPECT_LT(*due, kNow + minutes{1});
    dues.insert(*due);
  }
  EXPECT_GT(dues.size(), 90U);
  // It does not move when time goes on, nor when others leave.
  EXPECT_EQ(schedule.DueAt(items[7], kNow), schedule.DueAt(items[7], kNow + seconds{40}));
  ScheduledItem often = Make("often");
  often.frequency = seconds{5};
  EXPECT_LT(*schedule.DueAt(often, kNow), kNow + seconds{5});
}

TEST_F(ScheduleTest, AfterARestartWhatIsOverdueIsSpreadAndNotMissed) {
  const auto item = Make("a", kNow - hours{10});
  const auto due = schedule.DueAt(item, kNow);
  ASSERT_TRUE(due);
  EXPECT_LT(*due, kNow + minutes{1});
  const auto decision = Decide({item}, *due + seconds{1});
  ASSERT_THAT(decision.starts, SizeIs(1));
  EXPECT_EQ(decision.starts[0].missed_cycles, 0U);
  // What is not overdue keeps its time.
  EXPECT_EQ(schedule.DueAt(Make("b", kNow - minutes{2}), kNow), kNow + minutes{3});
}

TEST_F(ScheduleTest, CyclesThatCouldNotStartWithinTheirPeriodAreMissed) {
  ScheduledItem item = Make("a", kNow);
  item.frequency = seconds{5};
  const auto missed = [&](milliseconds after) {
    const auto decision = Decide({item}, kNow + after);
    return decision.starts.empty() ? 99 : decision.starts[0].missed_cycles;
  };
  EXPECT_EQ(missed(milliseconds{9'999}), 0U);
  EXPECT_EQ(missed(seconds{10}), 1U);
  EXPECT_EQ(missed(seconds{12}), 1U);
  EXPECT_EQ(missed(seconds{26}), 4U);
}

TEST_F(ScheduleTest, JobsAreLimitedInAllAndOfAHost) {
  std::vector<ScheduledItem> items;
  for (int i = 0; i < 8; ++i) {
    items.push_back(Make(std::to_string(i), kNow - milliseconds{100 * i}));
    items.back().host = i < 4 ? "one" : "host-" + std::to_string(i);
    items.back().frequency = seconds{5};
  }
  const Timestamp later = kNow + seconds{6};
  // The longest overdue first: 7, 6, 5, 4.
  EXPECT_THAT(Started(Decide(items, later)), ::testing::ElementsAre("7", "6", "5", "4"));
  limits.jobs = 8;
  EXPECT_THAT(Started(Decide(items, later)), ::testing::ElementsAre("7", "6", "5", "4", "3", "2"));
  const std::map<ItemKey, std::string> running = {{items[0].key, "one"}, {items[7].key, "host-7"}};
  EXPECT_THAT(Started(Decide(items, later, running)), ::testing::ElementsAre("6", "5", "4", "3"));
  limits.jobs = 2;
  EXPECT_THAT(Decide(items, later, running).starts, IsEmpty());
}

TEST_F(ScheduleTest, AnItemThatRunsIsNotStartedAgain) {
  const auto item = Make("a", kNow);
  EXPECT_THAT(Decide({item}, kNow + hours{1}, {{item.key, "h"}}).starts, IsEmpty());
}

TEST_F(ScheduleTest, FailuresWaitForTheirNextTry) {
  ScheduledItem item = Make("a", kNow);
  item.is_failing = true;
  item.next_try = kNow + minutes{10};
  EXPECT_THAT(Decide({item}, kNow + minutes{9}).starts, IsEmpty());
  const auto retried = Decide({item}, kNow + minutes{60});
  ASSERT_THAT(retried.starts, SizeIs(1));
  EXPECT_EQ(retried.starts[0].missed_cycles, 0U);
  // An unrecoverable one waits for a person.
  item.next_try.reset();
  EXPECT_EQ(schedule.DueAt(item, kNow + hours{99}), std::nullopt);
  EXPECT_THAT(Decide({item}, kNow + hours{99}).starts, IsEmpty());
}

// The try met somebody else's work, and left the retry as it was: due, and just begun.
TEST_F(ScheduleTest, ATryThatChangedNothingIsNotRepeatedAtOnce) {
  ScheduledItem item = Make("a", kNow + minutes{10});
  item.is_failing = true;
  item.next_try = kNow + minutes{9};
  EXPECT_THAT(Decide({item}, kNow + minutes{10} + seconds{59}).starts, IsEmpty());
  EXPECT_THAT(Decide({item}, kNow + minutes{11}).starts, SizeIs(1));
  item.frequency = seconds{5};
  EXPECT_THAT(Decide({item}, kNow + minutes{10} + seconds{4}).starts, IsEmpty());
  EXPECT_THAT(Decide({item}, kNow + minutes{10} + seconds{5}).starts, SizeIs(1));
}

TEST_F(ScheduleTest, APolicysDelaysMayBeShorterOrLonger) {
  ScheduledItem item = Make("a", kNow);
  item.is_failing = true;
  item.shortest_retry_delay = seconds{2};
  item.longest_retry_delay = hours{24};
  item.next_try = kNow + seconds{2};
  EXPECT_THAT(Decide({item}, kNow + seconds{1}).starts, IsEmpty());
  EXPECT_THAT(Decide({item}, kNow + seconds{2}).starts, SizeIs(1));
  // A day is no sign of a clock that was put back; two are.
  item.next_try = kNow + hours{24};
  EXPECT_EQ(schedule.DueAt(item, kNow + seconds{1}), kNow + hours{24});
  item.next_try = kNow + hours{48};
  EXPECT_EQ(schedule.DueAt(item, kNow + seconds{2}), kNow + seconds{2});
}

TEST_F(ScheduleTest, WhatWasPausedMissedNothing) {
  ScheduledItem item = Make("a", kNow);
  item.frequency = seconds{5};
  item.is_paused = true;
  EXPECT_THAT(Decide({item}, kNow + hours{24}).starts, IsEmpty());
  item.is_paused = false;
  const auto resumed = schedule.Decide({item}, {}, limits, kNow + hours{24} + seconds{5});
  ASSERT_THAT(resumed.starts, SizeIs(1));
  EXPECT_LE(resumed.starts[0].missed_cycles, 1U);
}

TEST_F(ScheduleTest, PausedItemsWaitEvenIfTheyAreAskedFor) {
  ScheduledItem item = Make("a", kNow);
  item.is_paused = true;
  schedule.Ask(item.key);
  EXPECT_THAT(Decide({item}, kNow + hours{1}).starts, IsEmpty());
  item.is_paused = false;
  EXPECT_THAT(Decide({item}, kNow + hours{1}).starts, SizeIs(1));
}

TEST_F(ScheduleTest, WhatIsAskedForGoesFirstAndOnce) {
  const auto late = Make("late", kNow - minutes{4});
  const auto asked = Make("asked", kNow);
  schedule.Ask(asked.key);
  limits.jobs = 1;
  const Timestamp later = kNow + minutes{2};
  EXPECT_THAT(Started(Decide({late, asked}, later)), ::testing::ElementsAre("asked"));
  EXPECT_THAT(Started(Decide({late, asked}, later)), ::testing::ElementsAre("late"));
}

TEST_F(ScheduleTest, AClockThatIsPutBackStopsNothing) {
  ScheduledItem item = Make("a", kNow);
  const auto decision = Decide({item}, kNow - hours{5});
  ASSERT_THAT(decision.starts, SizeIs(1));
  EXPECT_EQ(decision.starts[0].missed_cycles, 0U);
  item.is_failing = true;
  item.next_try = kNow + minutes{10};
  EXPECT_THAT(Decide({item}, kNow - hours{5}).starts, SizeIs(1));
  // One that never ran waits for its place in the minute, and no longer.
  const auto fresh = Make("fresh");
  EXPECT_LT(*schedule.DueAt(fresh, kNow - hours{5}), kNow - hours{5} + minutes{1});
  // Nor do cycles run all the time afterwards.
  EXPECT_THAT(Decide({Make("a", kNow - hours{5})}, kNow - hours{5} + minutes{4}).starts, IsEmpty());
}

TEST_F(ScheduleTest, AClockThatIsPutForwardMissesNothing) {
  const auto item = Make("a", kNow);
  const Timestamp jumped = kNow + hours{5};
  schedule.ClockJumped(jumped);
  const auto due = schedule.DueAt(item, jumped);
  ASSERT_TRUE(due);
  EXPECT_LT(*due, jumped + minutes{1});
  const auto decision = schedule.Decide({item}, {}, limits, *due);
  ASSERT_THAT(decision.starts, SizeIs(1));
  EXPECT_EQ(decision.starts[0].missed_cycles, 0U);
}

TEST_F(ScheduleTest, AppConsistentCyclesComeAtTheirOwnInterval) {
  ScheduledItem item = Make("a", kNow);
  item.app_consistent = hours{1};
  const Timestamp later = kNow + minutes{5};
  EXPECT_TRUE(Decide({item}, later).starts.at(0).app_consistent);
  item.last_app_consistent = later - minutes{59};
  EXPECT_FALSE(Decide({item}, later).starts.at(0).app_consistent);
  item.last_app_consistent = later - minutes{60};
  EXPECT_TRUE(Decide({item}, later).starts.at(0).app_consistent);
  item.last_app_consistent = later + minutes{60};  // the clock was put back
  EXPECT_TRUE(Decide({item}, later).starts.at(0).app_consistent);
}

TEST_F(ScheduleTest, LooksAgainWhenTheNextIsDueAndSoonInAnyCase) {
  const auto soon = Make("a", kNow - minutes{5} + seconds{10});
  EXPECT_EQ(Decide({soon}, kNow).look_again, kNow + seconds{10});
  EXPECT_EQ(Decide({Make("b", kNow)}, kNow).look_again, kNow + seconds{30});
  EXPECT_EQ(Decide({}, kNow).look_again, kNow + seconds{30});
}

TEST_F(ScheduleTest, AVmInTwoVaultsKeepsWhatItWasAskedFor) {
  ScheduledItem first = Make("a", kNow);
  ScheduledItem second = Make("b", kNow);
  second.key.vault_id = "w";
  second.vm = first.vm;
  limits.jobs_of_a_host = 4;
  schedule.Ask(second.key);
  EXPECT_THAT(Decide({first, second}, kNow + seconds{1}, {{first.key, "h"}}).starts, IsEmpty());
  EXPECT_THAT(Started(Decide({first, second}, kNow + seconds{2})), ::testing::ElementsAre("b"));
  // Both are due: one after the other.
  EXPECT_THAT(Decide({first, second}, kNow + minutes{5}).starts, SizeIs(1));
}

// Each of its jobs may wait for minutes, if nobody answers.
TEST_F(ScheduleTest, NoVaultTakesTheLastPlaceFromAnother) {
  std::vector<ScheduledItem> items;
  for (int i = 0; i < 4; ++i) items.push_back(Make("v" + std::to_string(i), kNow - minutes{9}));
  limits.jobs_of_a_host = 4;
  limits.jobs = 3;
  EXPECT_THAT(Decide(items, kNow + minutes{1}).starts, SizeIs(3));
  ScheduledItem other = Make("other", kNow);
  other.key.vault_id = "w";
  items.push_back(other);
  // For what is due within half a minute.
  const Timestamp soon = kNow + minutes{5} - seconds{20};
  EXPECT_THAT(Decide(items, soon - seconds{20}).starts, SizeIs(3));
  EXPECT_THAT(Decide(items, soon).starts, SizeIs(2));
  const std::map<ItemKey, std::string> stuck = {{items[0].key, "h"}, {items[1].key, "h"}};
  EXPECT_THAT(Started(Decide(items, kNow + minutes{6}, stuck)), ::testing::ElementsAre("other"));
  // Once it is known that they wait for a vault that is away, they hold up none of their own
  // either.
  items[0].waits_for_vault = items[1].waits_for_vault = true;
  EXPECT_THAT(Decide(items, kNow + minutes{1}, stuck).starts, SizeIs(2));
  items[0].waits_for_vault = items[1].waits_for_vault = false;
  // Of a host the same; and where another vault is at work, any may take the last one.
  limits.jobs = 9;
  limits.jobs_of_a_host = 2;
  EXPECT_THAT(Decide(items, soon).starts, SizeIs(1));
  EXPECT_THAT(Decide(items, kNow + minutes{1}, {{other.key, "h"}}).starts, SizeIs(1));
  limits.jobs_of_a_host = 1;
  EXPECT_THAT(Decide(items, kNow + minutes{1}).starts, SizeIs(1));
}

TEST_F(ScheduleTest, WhileItsVaultIsAwayAVmIsLoggedBetweenTheTries) {
  ScheduledItem item = Make("a", kNow);
  item.frequency = seconds{5};
  item.is_failing = true;
  item.next_try = kNow + minutes{1};
  EXPECT_THAT(Decide({item}, kNow + seconds{59}).starts, IsEmpty());
  item.logs_since = kNow;
  EXPECT_THAT(Decide({item}, kNow + seconds{4}).starts, IsEmpty());
  const auto log = Decide({item}, kNow + seconds{5});
  ASSERT_THAT(log.starts, SizeIs(1));
  EXPECT_TRUE(log.starts[0].only_logs);
  item.last_start = kNow + seconds{57};
  const auto next_try = Decide({item}, kNow + seconds{62});
  ASSERT_THAT(next_try.starts, SizeIs(1));
  EXPECT_FALSE(next_try.starts[0].only_logs);
  // Also one that waits for a person; who asks for a try gets one.
  item.next_try.reset();
  const auto waits = Decide({item}, kNow + seconds{62});
  ASSERT_THAT(waits.starts, SizeIs(1));
  EXPECT_TRUE(waits.starts[0].only_logs);
  schedule.Ask(item.key);
  const auto asked = Decide({item}, kNow + seconds{58});
  ASSERT_THAT(asked.starts, SizeIs(1));
  EXPECT_FALSE(asked.starts[0].only_logs);
  // What was in vain is not tried as often.
  item.log_not_before = kNow + minutes{10};
  EXPECT_EQ(schedule.DueAt(item, kNow + seconds{58}), kNow + minutes{10});
  item.is_paused = true;
  EXPECT_FALSE(schedule.DueAt(item, kNow + seconds{58}));
}

TEST_F(ScheduleTest, TheLongerAVaultIsAwayTheRarerItsVmsAreLogged) {
  ScheduledItem item = Make("a", kNow);
  item.frequency = seconds{5};
  item.is_failing = true;
  item.logs_since = kNow;
  int sets = 0;
  for (Timestamp now = kNow; now < kNow + hours{24};) {
    const auto due = schedule.DueAt(item, now);
    ASSERT_TRUE(due);
    if (*due <= now) item.last_start = now;
    if (*due <= now) ++sets;
    if (sets == 100) {
      EXPECT_LT(now, kNow + minutes{10});
    }
    now += seconds{1};
  }
  EXPECT_GT(sets, 300);
  EXPECT_LT(sets, 800);
}

class LocalTime {
 public:
  explicit LocalTime(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
  ~LocalTime() {
    ::unsetenv("TZ");
    ::tzset();
  }
  LocalTime(const LocalTime&) = delete;
  LocalTime& operator=(const LocalTime&) = delete;
};

TEST(NextStartTest, IsTheNextTimeOnTheMachinesClock) {
  const LocalTime zone("CET-1CEST,M3.5.0,M10.5.0/3");
  EXPECT_EQ(NextStart("now", kNow), kNow);
  EXPECT_EQ(FormatTime(NextStart("08:00", kNow)), "2026-11-23T07:00:00.000Z");
  EXPECT_EQ(FormatTime(NextStart("07:00", kNow)), "2026-11-24T06:00:00.000Z");
  EXPECT_EQ(NextStart("07:30", kNow), kNow);
  EXPECT_EQ(NextStart("07:30", kNow + seconds{20}), kNow + seconds{20});
  // Over a change of the clock it is the same hour on the wall.
  EXPECT_EQ(FormatTime(NextStart("12:00", *ParseTime("2026-10-24T15:00:00Z"))),
            "2026-10-25T11:00:00.000Z");
}

}  // namespace
}  // namespace asr
