#include "core/jobs/health.h"

#include <gtest/gtest.h>

#include "tests/support/fake_clock.h"

namespace asr {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::kNow;

HealthFacts Facts() {
  return {.state = ProtectionState::kProtected,
          .now = kNow,
          .newest_point = kNow - minutes{1},
          .last_compared = {},
          .frequency = minutes{5},
          .last_replication = {},
          .damage = {}};
}

Job EndedJob(JobState state, bool retryable) {
  Job job;
  job.id = {"20261123T062900-aabbcc"};
  job.state = state;
  job.retryable = retryable;
  if (state == JobState::kFailed) {
    job.error = MakeError(ErrorKind::kIo, ErrorCode::kIo, "cannot read");
  }
  return job;
}

TEST(HealthTest, AFreshPointIsNormal) {
  const ItemHealth health = JudgeHealth(Facts());
  EXPECT_EQ(health.health, ReplicationHealth::kNormal);
  EXPECT_EQ(health.rpo, minutes{1});
  EXPECT_TRUE(health.errors.empty());
}

TEST(HealthTest, RpoAdvancesWhenNothingChanged) {
  HealthFacts facts = Facts();
  facts.newest_point = kNow - minutes{600};
  facts.last_compared = kNow - seconds{30};
  EXPECT_EQ(JudgeHealth(facts).rpo, seconds{30});
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kNormal);
  facts.newest_point = kNow - seconds{10};  // of another machine
  EXPECT_EQ(JudgeHealth(facts).rpo, seconds{10});
}

TEST(HealthTest, MissedCyclesAreWarningThenCritical) {
  HealthFacts facts = Facts();
  facts.newest_point = kNow - minutes{5} * kWarningMissedCycles;
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kNormal);
  *facts.newest_point -= milliseconds{1};
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kWarning);
  facts.newest_point = kNow - minutes{5} * kCriticalMissedCycles - milliseconds{1};
  const ItemHealth health = JudgeHealth(facts);
  EXPECT_EQ(health.health, ReplicationHealth::kCritical);
  ASSERT_EQ(health.errors.size(), 1U);
  EXPECT_EQ(health.errors[0].code, ErrorCode::kReplicationLate);
  EXPECT_FALSE(health.errors[0].action.empty());
}

TEST(HealthTest, AClockThatWentBackGivesZero) {
  HealthFacts facts = Facts();
  facts.newest_point = kNow + minutes{5};
  EXPECT_EQ(JudgeHealth(facts).rpo, seconds{0});
}

TEST(HealthTest, AFailureWeighsByWhetherARetryMayHelp) {
  HealthFacts facts = Facts();
  facts.last_replication = EndedJob(JobState::kFailed, true);
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kWarning);
  facts.last_replication = EndedJob(JobState::kFailed, false);
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kCritical);
  facts.last_replication = EndedJob(JobState::kCancelled, true);
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kNormal);
}

TEST(HealthTest, TheGravestErrorComesFirst) {
  HealthFacts facts = Facts();
  facts.last_replication = EndedJob(JobState::kFailed, true);
  facts.newest_point = kNow - minutes{600};
  const ItemHealth health = JudgeHealth(facts);
  EXPECT_EQ(health.health, ReplicationHealth::kCritical);
  ASSERT_EQ(health.errors.size(), 2U);
  EXPECT_EQ(health.errors[0].code, ErrorCode::kReplicationLate);
}

TEST(HealthTest, WithoutAPointThereIsNoRpo) {
  HealthFacts facts = Facts();
  facts.newest_point.reset();
  EXPECT_FALSE(JudgeHealth(facts).rpo.has_value());
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kCritical);
  facts.state = ProtectionState::kInitialReplicationInProgress;
  EXPECT_EQ(JudgeHealth(facts).health, ReplicationHealth::kWarning);
}

TEST(HealthTest, WhatIsNotProtectedIsNotLate) {
  HealthFacts facts = Facts();
  facts.state = ProtectionState::kUnprotected;
  facts.newest_point = kNow - minutes{6000};
  const ItemHealth health = JudgeHealth(facts);
  EXPECT_EQ(health.health, ReplicationHealth::kNormal);
  EXPECT_FALSE(health.rpo.has_value());
}

}  // namespace
}  // namespace asr
