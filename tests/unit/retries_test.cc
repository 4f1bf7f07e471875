#include "core/jobs/retries.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/jobs/health.h"
#include "core/jobs/heartbeat.h"
#include "core/jobs/item_view.h"
#include "core/vault/layout.h"
#include "storage/blob/memory_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

Error Unreachable() {
  return MakeError(ErrorKind::kIo, ErrorCode::kUnreachable, "nobody answers").Retryable();
}
Error Expired() {
  return MakeError(ErrorKind::kIo, ErrorCode::kCredentialExpired, "the token has expired")
      .WithCause("it was made for a day")
      .WithAction("asr credential add");
}

class RetriesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = StateDatabase::Open(PosixFileSystem(), clock, directory / "state");
    ASSERT_TRUE(opened) << opened.error().Line();
    state = *std::move(opened);
    environment.emplace(Environment{.fs = PosixFileSystem(),
                                    .clock = clock,
                                    .state = *state,
                                    .progress = NoProgress(),
                                    .state_directory = directory / "state",
                                    .stop = {}});
  }
  void End(const Status& outcome) {
    const Status noted = NoteReplicationEnd(*environment, "v", item, outcome);
    ASSERT_TRUE(noted) << noted.error().Line();
  }
  std::optional<RetryState> Retry() { return state->FindItemSchedule("v", item)->retry; }

  TempDir directory;
  FakeClock clock;
  std::unique_ptr<StateDatabase> state;
  std::optional<Environment> environment;
  const ItemId item{"web-00000001"};
};

TEST_F(RetriesTest, FailuresInARowWaitLongerAndASuccessResetsThem) {
  const Timestamp first = clock.Now();
  for (const int wait : {1, 2, 4, 8, 10, 30, 30}) {
    End(Fail(Unreachable()));
    ASSERT_TRUE(Retry() && Retry()->next_try);
    EXPECT_EQ(*Retry()->next_try, clock.Now() + minutes{wait});
    EXPECT_EQ(Retry()->since, first);
    clock.Advance(wait * 60);
  }
  EXPECT_EQ(Retry()->attempt, 7);
  EXPECT_EQ(Retry()->error.message, "nobody answers");
  End({});
  EXPECT_FALSE(Retry());
  End(Fail(Unreachable()));
  EXPECT_EQ(Retry()->attempt, 1);
}

// The longer its vault is away the rarer what changes is logged: other failures do not count.
TEST_F(RetriesTest, AnOutageBeginsWhenTheVaultGoesAway) {
  End(Fail(ErrorKind::kNoSpace, ErrorCode::kIo, "the vault is full"));
  clock.Advance(86400);
  const Timestamp away = clock.Now();
  End(Fail(Unreachable()));
  clock.Advance(60);
  End(Fail(Unreachable()));
  EXPECT_EQ(Retry()->since, away);
  EXPECT_EQ(Retry()->attempt, 3);
}

TEST_F(RetriesTest, AnUnrecoverableOneIsNotTriedAgain) {
  End(Fail(Unreachable()));
  End(Fail(Expired()));
  ASSERT_TRUE(Retry());
  EXPECT_FALSE(Retry()->next_try);
  EXPECT_EQ(Retry()->attempt, 2);
}

TEST_F(RetriesTest, AStopAndSomebodyElsesTurnAreNoFailures) {
  End(Fail(MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped")));
  End(Fail(MakeError(ErrorKind::kBusy, ErrorCode::kItemBusy, "held")));
  EXPECT_FALSE(Retry());
  End(Fail(Unreachable()));
  End(Fail(MakeError(ErrorKind::kBusy, ErrorCode::kItemBusy, "held")));
  EXPECT_EQ(Retry()->attempt, 1);
}

TEST_F(RetriesTest, EachPartOfARowIsKeptByTheOthers) {
  ASSERT_TRUE(state->NoteScheduled("v", item, "web", "main", clock.Now(), ""));
  ASSERT_TRUE(state->SetPaused("v", item, clock.Now()));
  ASSERT_TRUE(state->NoteCycleStart("v", item, clock.Now(), 2, clock.Now() + seconds{5}));
  ASSERT_TRUE(state->NoteAppConsistent("v", item, clock.Now()));
  ASSERT_TRUE(
      state->NoteCycleStart("v", item, clock.Now() + seconds{9}, 1, clock.Now() + seconds{14}));
  End(Fail(Unreachable()));
  const ItemSchedule row = *state->FindItemSchedule("v", item);
  EXPECT_EQ(row.vm, "web");
  EXPECT_EQ(row.vault, "main");
  EXPECT_EQ(row.paused_since, clock.Now());
  EXPECT_EQ(row.last_start, clock.Now() + seconds{9});
  EXPECT_EQ(row.last_app_consistent, clock.Now());
  EXPECT_EQ(row.next_due, clock.Now() + seconds{14});
  EXPECT_EQ(row.missed_cycles, 3U);
  EXPECT_TRUE(row.retry);
  ASSERT_TRUE(state->SetPaused("v", item, std::nullopt));
  EXPECT_FALSE(state->FindItemSchedule("v", item)->paused_since);
  EXPECT_EQ(state->ListItemSchedules()->size(), 1U);
  ASSERT_TRUE(state->RemoveItemSchedule("v", item));
  EXPECT_TRUE(state->ListItemSchedules()->empty());
}

TEST_F(RetriesTest, HealthTellsAttemptNextTryAndWhy) {
  HealthFacts facts;
  facts.now = clock.Now();
  facts.newest_point = clock.Now();
  facts.retry = NextRetry(std::nullopt, Unreachable(), clock.Now());
  const ItemHealth waits = JudgeHealth(facts);
  EXPECT_EQ(waits.health, ReplicationHealth::kWarning);
  ASSERT_EQ(waits.errors.size(), 1U);
  EXPECT_THAT(waits.errors[0].message, HasSubstr("attempt 1"));
  EXPECT_THAT(waits.errors[0].message, HasSubstr(FormatTime(clock.Now() + minutes{1})));
  EXPECT_THAT(waits.errors[0].message, HasSubstr("nobody answers"));

  facts.retry = NextRetry(facts.retry, Expired(), clock.Now());
  const ItemHealth stopped = JudgeHealth(facts);
  EXPECT_EQ(stopped.health, ReplicationHealth::kCritical);
  ASSERT_EQ(stopped.errors.size(), 1U);
  EXPECT_EQ(stopped.errors[0].code, ErrorCode::kCredentialExpired);
  EXPECT_EQ(stopped.errors[0].causes, Expired().causes);
  EXPECT_THAT(stopped.errors[0].action,
              HasSubstr("asr credential add; a running agent goes on once the vault answers, or at "
                        "once: asr resume"));

  facts.retry.reset();
  facts.paused_since = clock.Now();
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kWarning);
}

TEST_F(RetriesTest, RequestsWaitInTheirOrder) {
  ASSERT_TRUE(state->AddRequest(AgentRequest::Kind::kCycle, "a", clock.Now()));
  ASSERT_TRUE(state->AddRequest(AgentRequest::Kind::kCancel, "b", clock.Now() + seconds{1}));
  const auto requests = *state->ListRequests();
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests[0].kind, AgentRequest::Kind::kCycle);
  EXPECT_EQ(requests[1].subject, "b");
  EXPECT_EQ(requests[1].due, clock.Now() + seconds{1});
  ASSERT_TRUE(state->RemoveRequest(requests[0].number));
  EXPECT_EQ(state->ListRequests()->size(), 1U);
}

TEST_F(RetriesTest, AQueuedJobIsClaimedOnce) {
  Job job;
  job.id = NewJobId(clock.Now());
  job.type = "Replicate";
  job.start_time = clock.Now();
  ASSERT_TRUE(state->InsertJob(job));
  job.state = JobState::kInProgress;
  ASSERT_TRUE(state->ClaimJob(job));
  EXPECT_EQ(state->FindJob(job.id.value)->state, JobState::kInProgress);
  const Status again = state->ClaimJob(job);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kJobState);
}

TEST_F(RetriesTest, AJobIsQueuedWithItsRequestAndGivenUpOnlyBeforeItBegins) {
  Job job;
  job.id = NewJobId(clock.Now());
  job.type = "Replicate";
  job.start_time = clock.Now();
  ASSERT_TRUE(
      state->QueueJob(job, {.words = "w", .working_directory = "/"}, clock.Now() + seconds{9}));
  const auto requests = *state->ListRequests();
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].kind, AgentRequest::Kind::kRun);
  EXPECT_EQ(requests[0].subject, job.id.value);
  EXPECT_EQ(requests[0].due, clock.Now() + seconds{9});
  EXPECT_EQ(state->FindJobCommand(job.id)->words, "w");
  // The same job once more: neither it nor a request.
  EXPECT_FALSE(state->QueueJob(job, {.words = "w", .working_directory = "/"}, clock.Now()));
  EXPECT_EQ(state->ListRequests()->size(), 1U);
  Job cancelled = job;
  cancelled.state = JobState::kCancelled;
  Job claimed = job;
  claimed.state = JobState::kInProgress;
  ASSERT_TRUE(state->ClaimJob(claimed));
  const Status late = state->UpdateQueuedJob(cancelled);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::kJobState);
  EXPECT_EQ(state->FindJob(job.id.value)->state, JobState::kInProgress);
  job.id = NewJobId(clock.Now());
  cancelled.id = job.id;
  ASSERT_TRUE(state->QueueJob(job, {}, clock.Now()));
  ASSERT_TRUE(state->UpdateQueuedJob(cancelled));
  claimed.id = job.id;
  EXPECT_FALSE(state->ClaimJob(claimed)) << "cancelled jobs do not begin";
}

TEST_F(RetriesTest, APolicysDelaysAreTheOnesOfItsItem) {
  const std::vector<seconds> delays = {seconds{2}, seconds{7}};
  for (const seconds delay : {seconds{2}, seconds{7}, seconds{7}}) {
    ASSERT_TRUE(NoteReplicationEnd(*environment, "v", item, Fail(Unreachable()), delays));
    EXPECT_EQ(state->FindItemSchedule("v", item)->retry->next_try, clock.Now() + delay);
  }
}

TEST_F(RetriesTest, OldJobsGoThatNobodyReads) {
  const auto add = [&](const std::string& type, JobState job_state, minutes age) {
    Job job;
    job.start_time = clock.Now() - age;
    job.id = NewJobId(job.start_time);
    job.type = type;
    job.state = job_state;
    job.tasks.resize(2);
    if (HasEnded(job_state)) job.end_time = job.start_time;
    EXPECT_TRUE(state->InsertJob(job));
  };
  add("Replicate", JobState::kSucceeded, minutes{100});
  add("Replicate", JobState::kSucceeded, minutes{10});
  add("Replicate", JobState::kFailed, minutes{100});
  add("Restore", JobState::kSucceeded, minutes{100});
  add("Restore", JobState::kSucceeded, minutes{2000});
  add("Replicate", JobState::kNotStarted, minutes{2000});
  const auto removed =
      state->RemoveOldJobs("Replicate", clock.Now() - minutes{60}, clock.Now() - minutes{1000});
  EXPECT_EQ(*removed, 2);
  EXPECT_EQ(state->ListJobs({.item = {}, .state = {}, .since = {}})->size(), 4U);
}

TEST_F(RetriesTest, TheHeartbeatIsWrittenOnceAMinute) {
  const auto vault =
      Vault::Create(MakeMemoryStore(), "main", DigestAlgorithm::kSha256, clock.Now());
  ASSERT_TRUE(vault);
  const std::string id = *AgentId(*environment);
  EXPECT_EQ(*AgentId(*environment), id);
  Heartbeat heartbeat;
  heartbeat.agent = id;
  heartbeat.items = {"web-00000001"};
  HeartbeatWriter writer(clock);
  ASSERT_TRUE(writer.Beat(**vault, heartbeat));
  const auto read = [&] { return *(*vault)->store().Get(layout::AgentDocument(id)); };
  const std::string first = FormatTime(clock.Now());
  EXPECT_THAT(read(), HasSubstr(first));
  EXPECT_THAT(read(), HasSubstr("web-00000001"));
  clock.Advance(59);
  ASSERT_TRUE(writer.Beat(**vault, heartbeat));
  EXPECT_THAT(read(), HasSubstr(first));
  clock.Advance(1);
  ASSERT_TRUE(writer.Beat(**vault, heartbeat));
  EXPECT_THAT(read(), Not(HasSubstr(first)));
}

TEST_F(RetriesTest, WhatIsKeptOfAnItemGoesWithItsVault) {
  const ItemId other{"db-00000002"};
  ASSERT_TRUE(state->AddVault({.name = "main", .target = "file:///a", .id = "v"}));
  ASSERT_TRUE(state->AddVault({.name = "second", .target = "file:///b", .id = "w"}));
  ASSERT_TRUE(state->NoteScheduled("v", item, "web", "main", clock.Now(), "kept"));
  ASSERT_TRUE(state->NoteScheduled("w", other, "db", "second", clock.Now(), "kept"));
  ASSERT_TRUE(state->NoteKnownState("v", item, clock.Now()));
  EXPECT_EQ(state->FindItemSchedule("v", item)->known_state, clock.Now());
  ASSERT_TRUE(state->RemoveVault("main"));
  EXPECT_EQ(state->FindItemSchedule("v", item)->view, "");
  EXPECT_EQ(state->FindItemSchedule("w", other)->view, "kept");
}

TEST_F(RetriesTest, AnItemIsKeptWithAllThatItsScheduleNeeds) {
  ItemView view;
  view.vault = {.id = std::string(32, 'a'), .algorithm = DigestAlgorithm::kXxh3, .created = {}};
  view.item.id = item;
  view.item.name = "web";
  view.item.host = "kvm1";
  view.item.uuid = "7f6a9d8c-0000-4000-8000-000000000001";
  view.item.policy = "fast";
  view.item.state = ProtectionState::kProtected;
  view.item.generation = {std::string(32, 'b')};
  view.item.disks.push_back(
      {.name = {"vda"}, .path = "/vm/a.qcow2", .format = "qcow2", .size_bytes = 1 << 20});
  view.policy.name = "fast";
  view.policy.frequency = std::chrono::seconds{5};
  view.policy.retention = StandardRetention(std::chrono::hours{24});
  const std::string text = ItemViewToJson(view);
  const auto read = ItemViewFromJson(text);
  ASSERT_TRUE(read) << read.error().Line();
  EXPECT_TRUE(read->item == view.item);
  EXPECT_TRUE(read->policy == view.policy);
  EXPECT_EQ(read->vault.algorithm, DigestAlgorithm::kXxh3);
  for (const char* damaged : {"", "{}", "[1]", "{\"vault\": 7}"}) {
    EXPECT_FALSE(ItemViewFromJson(damaged)) << damaged;
  }
  // The RPO grows, and is judged, without the vault.
  ItemSchedule row;
  row.view = text;
  row.known_state = clock.Now() - std::chrono::seconds{59};
  EXPECT_EQ(JudgeSchedule(row, clock.Now()).health, ReplicationHealth::kWarning);
  row.known_state = clock.Now() - std::chrono::seconds{61};
  const ItemHealth late = JudgeSchedule(row, clock.Now());
  EXPECT_EQ(late.health, ReplicationHealth::kCritical);
  EXPECT_EQ(late.rpo, std::chrono::seconds{61});
  row.known_state.reset();
  EXPECT_FALSE(JudgeSchedule(row, clock.Now()).rpo);
}

}  // namespace
}  // namespace asr::testing
