#include "core/jobs/job_run.h"

#include <mutex>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Writes down what it is told.
class RecordingSink : public ProgressSink {
 public:
  void TaskStarted(const std::string& name, std::uint64_t bytes_total) override {
    Note(fmt::format("start {} {}", name, bytes_total));
  }
  void TaskAdvanced(std::uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    bytes_ += bytes;
  }
  void TaskEnded(bool succeeded) override { Note(succeeded ? "done" : "failed"); }
  void Warn(const std::string& message) override { Note("warn " + message); }

  const std::vector<std::string>& notes() const { return notes_; }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void Note(std::string note) {
    const std::lock_guard lock(mutex_);
    notes_.push_back(std::move(note));
  }
  std::mutex mutex_;
  std::vector<std::string> notes_;
  std::uint64_t bytes_ = 0;
};

class JobRunTest : public ::testing::Test {
 protected:
  JobRunTest()
      : state_(*StateDatabase::Open(PosixFileSystem(), clock_, directory_ / "state")),
        environment_{PosixFileSystem(),    clock_,           *state_, sink_,
                     directory_ / "state", stop_.get_token()} {}

  JobRun Start() { return *JobRun::Start(environment_, "Replicate", "web", "main"); }
  Job Stored(const JobRun& run) { return *state_->FindJob(run.job().id.value); }
  static Status Broken() {
    return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo, "cable cut").Retryable());
  }

  asr::testing::TempDir directory_;
  asr::testing::FakeClock clock_;
  RecordingSink sink_;
  std::stop_source stop_;
  std::unique_ptr<StateDatabase> state_;
  Environment environment_;
};

TEST_F(JobRunTest, IsRecordedFromItsStart) {
  const JobRun run = Start();
  EXPECT_TRUE(run.job().id.value.starts_with("20261123T063000-")) << run.job().id.value;
  EXPECT_EQ(run.job().id.value.size(), std::string("20261123T063000-4f2a9c").size());
  const Job stored = Stored(run);
  EXPECT_EQ(stored.state, JobState::kInProgress);
  EXPECT_EQ(stored.type, "Replicate");
  EXPECT_EQ(stored.item, "web");
  EXPECT_EQ(stored.vault, "main");
  EXPECT_EQ(stored.start_time, clock_.Now());
}

TEST_F(JobRunTest, TasksAreRecordedWhileTheyRun) {
  JobRun run = Start();
  EXPECT_TRUE(run.RunTask("Check", 0, [](TaskProgress&) { return Status{}; }));
  EXPECT_TRUE(run.RunTask("Replicate disk root", 100, [&](TaskProgress& progress) {
    const Job during = Stored(run);
    EXPECT_EQ(during.tasks.size(), 2U);
    EXPECT_EQ(during.tasks[0].state, JobState::kSucceeded);
    EXPECT_EQ(during.tasks[1].state, JobState::kInProgress);
    EXPECT_EQ(during.tasks[1].bytes_total, 100U);
    progress.Advance(60);
    progress.Advance(30);
    return Status{};
  }));
  run.AddStats({1, 2, 3, 4});
  run.AddStats({1, 2, 3, 4});
  clock_.Advance(9);
  const auto ended = run.End({});
  ASSERT_TRUE(ended.has_value());
  EXPECT_EQ(ended->state, JobState::kSucceeded);
  const Job stored = Stored(run);
  EXPECT_EQ(stored.state, JobState::kSucceeded);
  EXPECT_FALSE(stored.retryable);
  EXPECT_EQ(stored.end_time, clock_.Now());
  EXPECT_EQ(stored.tasks[1].state, JobState::kSucceeded);
  EXPECT_EQ(stored.tasks[1].bytes_done, 90U);
  EXPECT_EQ(stored.stats, (TransferStats{2, 4, 6, 8}));
  EXPECT_THAT(sink_.notes(),
              ElementsAre("start Check 0", "done", "start Replicate disk root 100", "done"));
  EXPECT_EQ(sink_.bytes(), 90U);
}

TEST_F(JobRunTest, ProgressIsRecordedTwiceASecond) {
  JobRun run = Start();
  EXPECT_TRUE(run.RunTask("Copy", 100, [&](TaskProgress& progress) {
    const auto stored = [&] { return Stored(run).tasks[0].bytes_done; };
    progress.Advance(1);
    EXPECT_EQ(stored(), 0U);
    clock_.Advance(0.5);
    progress.Advance(1);
    EXPECT_EQ(stored(), 2U);
    clock_.Advance(0.4);
    progress.Advance(1);
    EXPECT_EQ(stored(), 2U);
    clock_.Advance(0.1);
    progress.Advance(1);
    EXPECT_EQ(stored(), 4U);
    return Status{};
  }));
}

TEST_F(JobRunTest, ManyThreadsMayAdvance) {
  constexpr int kThreads = 4;
  constexpr int kSteps = 1000;
  JobRun run = Start();
  EXPECT_TRUE(run.RunTask("Copy", 0, [&](TaskProgress& progress) {
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int step = 0; step < kSteps; ++step) {
          if (step % 100 == 0) clock_.Advance(0.3);
          progress.Advance(2);
          run.AddStats({1, 0, 0, 0});
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return Status{};
  }));
  EXPECT_EQ(run.job().tasks[0].bytes_done, 2U * kThreads * kSteps);
  EXPECT_EQ(run.job().stats.bytes_read, 1U * kThreads * kSteps);
  EXPECT_EQ(sink_.bytes(), 2U * kThreads * kSteps);
}

TEST_F(JobRunTest, WhatAFailedTransferDidIsRecorded) {
  JobRun run = Start();
  const Status outcome = run.RunTask("Copy", 100, [&](TaskProgress& progress) {
    run.Follow(progress)({.bytes_read = 4, .bytes_sent = 3});
    return Broken();
  });
  ASSERT_TRUE(run.End(outcome));
  EXPECT_EQ(Stored(run).stats.bytes_sent, 3U);
  EXPECT_EQ(Stored(run).tasks[0].bytes_done, 4U);
}

TEST_F(JobRunTest, FailureIsRecordedInTaskAndJob) {
  JobRun run = Start();
  const Status outcome =
      run.RunTask("Replicate disk root", 0, [](TaskProgress&) { return Broken(); });
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().Line(), "Replicate disk root: cable cut");
  const auto ended = run.End(outcome);
  ASSERT_TRUE(ended.has_value());
  const Job stored = Stored(run);
  EXPECT_EQ(stored.state, JobState::kFailed);
  EXPECT_TRUE(stored.retryable);
  EXPECT_EQ(stored.error->Line(), "Replicate disk root: cable cut");
  EXPECT_EQ(stored.tasks[0].state, JobState::kFailed);
  EXPECT_EQ(stored.tasks[0].error->code, ErrorCode::kIo);
  EXPECT_THAT(sink_.notes(), ElementsAre("start Replicate disk root 0", "failed"));
}

TEST_F(JobRunTest, WhatIsNoUseToRetryIsNotRetryable) {
  JobRun run = Start();
  const auto ended = run.End(Fail(ErrorKind::kCorrupt, ErrorCode::kImageCorrupt, "bad footer"));
  EXPECT_EQ(ended->state, JobState::kFailed);
  EXPECT_FALSE(Stored(run).retryable);
}

TEST_F(JobRunTest, StopCancelsTheTaskBeforeItBegins) {
  JobRun run = Start();
  stop_.request_stop();
  bool worked = false;
  const Status outcome = run.RunTask("Copy", 0, [&](TaskProgress&) {
    worked = true;
    return Status{};
  });
  EXPECT_FALSE(worked);
  ASSERT_FALSE(outcome.has_value());
  EXPECT_EQ(outcome.error().kind, ErrorKind::kCancelled);
  EXPECT_EQ(outcome.error().CodeText(), "ASR5004");
  EXPECT_THAT(sink_.notes(), IsEmpty());
  const auto ended = run.End(outcome);
  ASSERT_TRUE(ended.has_value());
  const Job stored = Stored(run);
  EXPECT_EQ(stored.state, JobState::kCancelled);
  EXPECT_TRUE(stored.retryable);
  EXPECT_EQ(stored.error->code, ErrorCode::kCancelled);
  ASSERT_THAT(stored.tasks, SizeIs(1));
  EXPECT_EQ(stored.tasks[0].state, JobState::kCancelled);
}

TEST_F(JobRunTest, CancelledWithinTheWorkIsRetryableWhateverTheErrorSays) {
  JobRun run = Start();
  const Status outcome = run.RunTask("Copy", 0, [](TaskProgress&) -> Status {
    return Fail(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped");
  });
  EXPECT_EQ(run.End(outcome)->state, JobState::kCancelled);
  EXPECT_TRUE(Stored(run).retryable);
  EXPECT_EQ(Stored(run).tasks[0].state, JobState::kCancelled);
}

TEST_F(JobRunTest, GivenUpRunIsRecordedAsFailed) {
  std::string id;
  {
    const JobRun run = Start();
    id = run.job().id.value;
  }
  const Job stored = *state_->FindJob(id);
  EXPECT_EQ(stored.state, JobState::kFailed);
  EXPECT_EQ(stored.error->code, ErrorCode::kInternal);
  EXPECT_THAT(stored.error->action, HasSubstr("asr replicate web --vault main"));
}

TEST(RepeatCommandTest, QuotesNamesAndKnowsEveryVerb) {
  Job job;
  job.item = "web server";
  job.type = "Restore";
  EXPECT_EQ(RepeatCommand(job), "asr restore 'web server' --to DIR");
  job.vault = "main";
  job.type = "EnableProtection";
  EXPECT_EQ(RepeatCommand(job), "asr enable 'web server' --policy POLICY --vault main");
  job.type = "Unheard";
  EXPECT_THAT(RepeatCommand(job), HasSubstr("Unheard"));
}

}  // namespace
}  // namespace asr
