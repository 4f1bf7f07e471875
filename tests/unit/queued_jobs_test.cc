// Jobs that are left to the agent, in the database of this machine's state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/state/state_database.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::ElementsAre;

class QueuedJobsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = StateDatabase::Open(PosixFileSystem(), clock_, directory_.path());
    ASSERT_TRUE(opened.has_value()) << opened.error().Line();
    database_ = *std::move(opened);
    job_.start_time = clock_.Now();
    job_.id = NewJobId(job_.start_time);
    job_.type = "Replicate";
    job_.item = "web";
    job_.vault = "main";
    ASSERT_TRUE(database_->QueueJob(job_, {}, clock_.Now()));
  }
  JobState State() { return database_->FindJob(job_.id.value)->state; }
  bool IsRequested() { return !database_->ListRequests()->empty(); }
  void Claim() {
    job_.state = JobState::kInProgress;
    ASSERT_TRUE(database_->ClaimJob(job_));
  }

  testing::TempDir directory_;
  testing::FakeClock clock_;
  std::unique_ptr<StateDatabase> database_;
  Job job_;
};

TEST_F(QueuedJobsTest, OneThatHasNotBegunIsTakenBackOnce) {
  EXPECT_TRUE(database_->TakeBackJob(job_.id).value());
  EXPECT_EQ(State(), JobState::kCancelled);
  EXPECT_FALSE(IsRequested());
  EXPECT_FALSE(database_->TakeBackJob(job_.id).value());
  EXPECT_FALSE(database_->ClaimJob(job_));
}

TEST_F(QueuedJobsTest, OneThatHasBegunIsNotTakenBack) {
  Claim();
  EXPECT_FALSE(database_->TakeBackJob(job_.id).value());
  EXPECT_EQ(State(), JobState::kInProgress);
  EXPECT_TRUE(IsRequested());
}

TEST_F(QueuedJobsTest, WhatHasSucceededIsNotPutBack) {
  Claim();
  job_.state = JobState::kSucceeded;
  job_.end_time = clock_.Now();
  ASSERT_TRUE(database_->UpdateJob(job_));
  EXPECT_FALSE(database_->PutBackJob(job_.id).value());
  EXPECT_EQ(State(), JobState::kSucceeded);
}

TEST_F(QueuedJobsTest, WhatSomebodyWaitsForIsPutBack) {
  Claim();
  job_.state = JobState::kCancelled;
  job_.end_time = clock_.Now();
  job_.error = MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, "the agent stops");
  ASSERT_TRUE(database_->UpdateJob(job_));
  EXPECT_TRUE(database_->PutBackJob(job_.id).value());
  const auto job = database_->FindJob(job_.id.value);
  EXPECT_EQ(job->state, JobState::kNotStarted);
  EXPECT_FALSE(job->error);
  EXPECT_FALSE(job->end_time);
  EXPECT_TRUE(IsRequested());
}

TEST_F(QueuedJobsTest, WhatNobodyWaitsForIsNot) {
  Claim();
  job_.state = JobState::kCancelled;
  ASSERT_TRUE(database_->UpdateJob(job_));
  ASSERT_TRUE(database_->TakeBackJob(job_.id).value());
  EXPECT_FALSE(database_->PutBackJob(job_.id).value());
  EXPECT_EQ(State(), JobState::kCancelled);
}

TEST_F(QueuedJobsTest, WhatItPrintedIsKeptWithIt) {
  EXPECT_FALSE(database_->FindJobOutput(job_.id).value());
  const Error error = MakeError(ErrorKind::kIo, ErrorCode::kIo, "the vault cannot be read");
  ASSERT_TRUE(database_->PutJobOutput(
      job_.id, {.json = "{}", .warnings = {"a \"b\"\n", "c"}, .error = error}));
  const auto output = database_->FindJobOutput(job_.id).value();
  ASSERT_TRUE(output);
  EXPECT_EQ(output->json, "{}");
  EXPECT_THAT(output->warnings, ElementsAre("a \"b\"\n", "c"));
  ASSERT_TRUE(output->error);
  EXPECT_EQ(output->error->message, error.message);
  EXPECT_EQ(output->error->kind, error.kind);
  // It goes with the job.
  Claim();
  job_.state = JobState::kSucceeded;
  job_.end_time = clock_.Now();
  ASSERT_TRUE(database_->UpdateJob(job_));
  clock_.Advance(24 * 3600);
  EXPECT_EQ(database_->RemoveOldJobs("Replicate", clock_.Now(), clock_.Now()).value(), 1);
  EXPECT_FALSE(database_->FindJobOutput(job_.id).value());
}

}  // namespace
}  // namespace asr
