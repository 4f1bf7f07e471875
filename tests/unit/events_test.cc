// Events of items: what they say, and how they are kept.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/jobs/host_watch.h"
#include "core/state/state_database.h"
#include "storage/sqlite/database.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Kind = DomainEvent::Kind;

const HostItem kItem = {
    .key = {.vault_id = "v", .item = {"web-00000001"}}, .vault = "main", .vm = "web", .uuid = "u"};

ItemEvent Made(Kind kind) {
  return EventOf({.kind = kind, .uuid = "u", .name = "new", .detail = "so"}, kItem, "kvm1");
}

TEST(EventsTest, EachSaysHowGraveItIsAndWhatToDo) {
  struct Row {
    Kind kind;
    EventSeverity severity;
    const char* type;
    const char* action;
  };
  for (const Row& row :
       {Row{Kind::kStarted, EventSeverity::kInfo, "VmStarted", ""},
        Row{Kind::kStopped, EventSeverity::kInfo, "VmStopped", ""},
        Row{Kind::kCrashed, EventSeverity::kWarning, "VmCrashed", "new.log"},
        Row{Kind::kMigratedAway, EventSeverity::kWarning, "VmMigratedAway", "asr disable web"},
        Row{Kind::kUndefined, EventSeverity::kWarning, "VmUndefined", "asr disable web"},
        Row{Kind::kRenamed, EventSeverity::kWarning, "VmRenamed", "asr enable new"},
        Row{Kind::kPausedByIoError, EventSeverity::kCritical, "VmPausedByIoError",
            "virsh resume new"},
        Row{Kind::kSnapshotRevert, EventSeverity::kWarning, "VmReverted", ""}}) {
    const ItemEvent event = Made(row.kind);
    EXPECT_EQ(event.severity, row.severity) << row.type;
    EXPECT_EQ(event.type, row.type);
    EXPECT_THAT(event.action, HasSubstr(row.action)) << row.type;
    EXPECT_EQ(event.vm, "web");
    EXPECT_EQ(event.host, "kvm1");
    EXPECT_FALSE(event.message.empty());
  }
  EXPECT_EQ(RevertEventOf(DomainRunState::kOff, kItem, "kvm1").type, "VmReverted");
  const ItemEvent failed = RevertEventOf(DomainRunState::kOffFailed, kItem, "kvm1");
  EXPECT_EQ(failed.type, "VmRevertFailed");
  EXPECT_EQ(failed.severity, EventSeverity::kCritical);
  EXPECT_THAT(failed.action, HasSubstr("asr pause web --release-tracking"));
}

class EventRowsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = StateDatabase::Open(PosixFileSystem(), clock_, directory_.path());
    ASSERT_TRUE(opened.has_value());
    state_ = *std::move(opened);
  }
  // True: a new row.
  bool Add(Kind kind, Timestamp time) {
    ItemEvent event = Made(kind);
    event.last_time = time;
    return state_->AddEvent(event).value();
  }

  TempDir directory_;
  FakeClock clock_;
  std::unique_ptr<StateDatabase> state_;
};

TEST_F(EventRowsTest, AStormIsCountedAndNotListed) {
  const Timestamp begin = clock_.Now();
  // A guest that starts and crashes every minute, three hours long.
  constexpr int kRounds = 180;
  for (int i = 0; i < kRounds; ++i) {
    Add(Kind::kStarted, begin + minutes{i});
    Add(Kind::kCrashed, begin + minutes{i} + seconds{5});
  }
  const auto events = *state_->ListEvents({});
  ASSERT_LE(events.size(), 8U);
  std::uint64_t count = 0;
  for (const ItemEvent& event : events) count += event.count;
  EXPECT_EQ(count, 2U * kRounds);
  EXPECT_EQ(events[0].type, "VmCrashed");
  EXPECT_EQ(events[0].last_time, begin + minutes{kRounds - 1} + seconds{5});
  EXPECT_GE(events[0].last_time, events[1].last_time);
}

TEST_F(EventRowsTest, WhatIsAnotherEventOrLongAfterIsNew) {
  const Timestamp begin = clock_.Now();
  EXPECT_TRUE(Add(Kind::kStarted, begin));
  EXPECT_FALSE(Add(Kind::kStarted, begin + minutes{5}));
  EXPECT_TRUE(Add(Kind::kStopped, begin + minutes{5}));
  EXPECT_TRUE(Add(Kind::kStarted, begin + minutes{11}));
  // A clock that was put back.
  EXPECT_TRUE(Add(Kind::kStarted, begin - minutes{11}));
  const auto all = *state_->ListEvents({});
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all[0].first_time, begin + minutes{11});
  EXPECT_EQ(all[3].first_time, begin - minutes{11});
}

TEST_F(EventRowsTest, ListsAreFiltered) {
  const Timestamp begin = clock_.Now();
  Add(Kind::kStarted, begin);
  Add(Kind::kCrashed, begin + minutes{1});
  Add(Kind::kPausedByIoError, begin + minutes{2});
  EXPECT_EQ(state_->ListEvents({.least = EventSeverity::kWarning})->size(), 2U);
  EXPECT_EQ(state_->ListEvents({.least = EventSeverity::kCritical})->size(), 1U);
  EXPECT_EQ(state_->ListEvents({.limit = 2})->size(), 2U);
  EXPECT_EQ(state_->ListEvents({.since = begin + minutes{1}})->size(), 2U);
  EXPECT_EQ(state_->ListEvents({.item = "web"})->size(), 3U);
  EXPECT_EQ(state_->ListEvents({.item = "web-00000001"})->size(), 3U);
  EXPECT_THAT(*state_->ListEvents({.item = "db"}), IsEmpty());
  const ItemEvent newest = state_->ListEvents({.limit = 1})->at(0);
  EXPECT_EQ(newest.action, Made(Kind::kPausedByIoError).action);
  EXPECT_EQ(newest.cause, Made(Kind::kPausedByIoError).cause);
  EXPECT_EQ(newest.message, Made(Kind::kPausedByIoError).message);
  EXPECT_EQ(newest.vault, "main");
}

TEST_F(EventRowsTest, TheNewestStay) {
  Add(Kind::kStarted, clock_.Now());
  auto raw = SqlDatabase::Open(directory_ / "state.db", {});
  ASSERT_TRUE(raw.has_value());
  ASSERT_TRUE(raw->Execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10050) INSERT INTO "
      "events SELECT NULL, i, i, 1, 'Info', 'VmStopped', 'v', 'x', 'main', 'x', 'h', i, '', '' "
      "FROM n"));
  Add(Kind::kCrashed, clock_.Now());
  const auto events = *state_->ListEvents({});
  EXPECT_EQ(events.size(), 10'000U);
  EXPECT_EQ(events.front().type, "VmCrashed");
  EXPECT_EQ(events.back().message, "52");
}

}  // namespace
}  // namespace asr::testing
