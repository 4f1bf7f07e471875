// A kept SAS that ends while work uses it: who is asked, for how long, and what is said.
#include "core/jobs/sas_reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <optional>

#include "core/jobs/credentials.h"
#include "core/jobs/vaults.h"
#include "storage/auth/credential_store.h"
#include "tests/support/azure_world.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using testing::FakeClock;
using ::testing::HasSubstr;
using testing::TempDir;

// Whom work asks, and who may do something about it.
class Person : public ProgressSink {
 public:
  void TaskStarted(const std::string&, std::uint64_t) override {}
  void TaskAdvanced(std::uint64_t) override {}
  void TaskEnded(bool) override {}
  void Warn(const std::string& message) override {
    told.push_back(message);
    if (act) act();
  }
  std::vector<std::string> told;
  std::function<void()> act;
};

SasToken Until(const std::string& time, const std::string& signature) {
  return ParseSas(Secret("se=" + time + "&sr=c&sp=r&sig=" + signature)).value();
}

class SasReloadTest : public ::testing::Test {
 protected:
  SasReloadTest() : state_(StateDatabase::Open(PosixFileSystem(), clock_, directory_ / "s")) {}

  // What is asked for once `old` ended, or was refused.
  Result<SasToken> Reload(const Secret& refused = {}) {
    Environment environment{.fs = PosixFileSystem(),
                            .clock = clock_,
                            .state = **state_,
                            .progress = person_,
                            .state_directory = directory_ / "s",
                            .stop = stop_.get_token()};
    environment.has_person = has_person_;
    const InputWaits::Watch watch(environment.waits,
                                  [this](bool is_waiting) { waits_.push_back(is_waiting); });
    const auto reload = MakeSasReload(environment,
                                      {.what = "credential x",
                                       .renewal = "asr credential add x",
                                       .read = [this] { return kept_; }},
                                      std::make_shared<const std::atomic<bool>>(is_in_use_));
    return reload(refused);
  }

  TempDir directory_;
  FakeClock clock_;  // 2026-11-23T06:30:00Z
  Result<std::unique_ptr<StateDatabase>> state_;
  Person person_;
  std::stop_source stop_;
  bool has_person_ = true;
  bool is_in_use_ = true;
  Result<SasToken> kept_ = Until("2026-11-23T06:00:00Z", "old");
  std::vector<bool> waits_;
};

TEST_F(SasReloadTest, APersonIsAskedAndWorkGoesOn) {
  person_.act = [&] { kept_ = Until("2026-12-23T06:00:00Z", "new"); };
  const auto sas = Reload();
  ASSERT_TRUE(sas) << sas.error().Line();
  EXPECT_THAT(sas->query.Reveal(), HasSubstr("sig=new"));
  ASSERT_EQ(person_.told.size(), 1U);
  EXPECT_THAT(person_.told[0], HasSubstr("credential x ended at 2026-11-23T06:00:00"));
  EXPECT_THAT(person_.told[0], HasSubstr("asr credential add x"));
  EXPECT_THAT(waits_, ElementsAre(true, false));
}

TEST_F(SasReloadTest, OneThatIsRefusedCountsAsEnded) {
  kept_ = Until("2026-12-01T00:00:00Z", "old");
  const Secret refused = kept_->query;
  // Taken away first, then put there anew.
  person_.act = [&] {
    kept_ = Fail(ErrorKind::kNotFound, ErrorCode::kCredentialNotFound, "there is none");
    clock_.Advance(1);
    person_.act = nullptr;
  };
  EXPECT_FALSE(Reload(refused));
  EXPECT_THAT(person_.told[0], HasSubstr("credential x is not accepted any more"));
  kept_ = Until("2026-12-01T00:00:00Z", "new");
  EXPECT_TRUE(Reload(refused));
  EXPECT_EQ(person_.told.size(), 1U) << "nobody is asked for what is there";
}

TEST_F(SasReloadTest, ItWaitsForAnHour) {
  const auto sas = Reload();
  ASSERT_FALSE(sas);
  EXPECT_EQ(sas.error().code, ErrorCode::kCredentialExpired);
  EXPECT_TRUE(sas.error().retryable);
  EXPECT_THAT(sas.error().action, HasSubstr("asr credential add x"));
  const double waited = std::chrono::duration<double>(clock_.Now() - FakeClock().Now()).count();
  EXPECT_NEAR(waited, kInputWaitSeconds, 2);
  EXPECT_THAT(waits_, ElementsAre(true, false));
}

TEST_F(SasReloadTest, WithoutAPersonItFailsAtOnce) {
  has_person_ = false;
  const auto sas = Reload();
  ASSERT_FALSE(sas);
  EXPECT_EQ(sas.error().code, ErrorCode::kCredentialExpired);
  EXPECT_TRUE(sas.error().retryable);
  EXPECT_THAT(sas.error().action, HasSubstr("asr credential add x"));
  EXPECT_TRUE(person_.told.empty());
  EXPECT_TRUE(waits_.empty());
}

// It may never have been good.
TEST_F(SasReloadTest, WhatTheServiceHasNotTakenIsNotWaitedFor) {
  is_in_use_ = false;
  kept_ = Until("2026-12-01T00:00:00Z", "old");
  const Secret refused = kept_->query;
  const auto sas = Reload(refused);
  ASSERT_TRUE(sas);
  EXPECT_EQ(sas->query.Reveal(), refused.Reveal());
  EXPECT_TRUE(person_.told.empty());
}

TEST_F(SasReloadTest, AStopEndsIt) {
  person_.act = [&] { stop_.request_stop(); };
  const auto sas = Reload();
  ASSERT_FALSE(sas);
  EXPECT_EQ(sas.error().code, ErrorCode::kCancelled);
}

TEST_F(SasReloadTest, AnotherKindInItsPlaceIsSaidAtOnce) {
  person_.act = [&] {
    kept_ = Fail(ErrorKind::kState, ErrorCode::kCredentialInvalid, "holds no signature any more");
  };
  const auto sas = Reload();
  ASSERT_FALSE(sas);
  EXPECT_EQ(sas.error().code, ErrorCode::kCredentialInvalid);
}

// A delta whose SAS the service refuses from the second request that writes pages on.
class SasEndsInAJobTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(world_.CreateTheVault("one"));
    ASSERT_TRUE(world_.Enable("one"));
    world_.NotePoints();
    world_.Advance(std::chrono::minutes(6));
    world_.Change();
    Keep();
    world_.server.AddFault(
        {.action = testing::FaultAction::kExpireCredential, .operation = "PutPage", .skip = 1});
  }

  // What the person does.
  void Keep() {
    const Status kept = world_.RunBare("one", [&](Environment& environment) -> Status {
      StoredCredential credential;
      credential.kind = CredentialKind::kSas;
      credential.secret =
          Secret(world_.server.AccountSas("racwdl", std::chrono::hours(200 + kept_++)));
      return CredentialsOf(environment).Save("x", credential, CredentialStore::IfThere::kReplace);
    });
    EXPECT_TRUE(kept) << kept.error().Line();
  }

  Result<Job> Delta() {
    std::optional<Result<Job>> job;
    const Status ran = world_.RunBare("one", [&](Environment& environment) -> Status {
      Environment asking{.fs = environment.fs,
                         .clock = environment.clock,
                         .state = environment.state,
                         .progress = person_,
                         .state_directory = environment.state_directory,
                         .stop = stop_.get_token(),
                         .credential = "x",
                         .has_person = true};
      state_ = &asking.state;
      ASR_TRY(const auto vault, OpenVault(asking, "v"));
      ASR_TRY(const Item item, vault->FindItem("web"));
      ASR_TRY(auto outcome, Replicate(asking, *vault, item));
      job = std::move(outcome.job);
      return {};
    });
    if (!ran) return Fail(ran.error());
    return *std::move(job);
  }

  // Of the newest job, as another process sees it.
  JobState StateNow() {
    return state_->ListJobs({.item = {}, .state = {}, .since = {}, .limit = 1})
        .value()
        .front()
        .state;
  }

  testing::AzureWorld world_{5};
  Person person_;
  StateDatabase* state_ = nullptr;
  std::stop_source stop_;
  int kept_ = 0;
};

TEST_F(SasEndsInAJobTest, TheJobWaitsAndGoesOn) {
  std::optional<JobState> seen;
  person_.act = [&] {
    if (!person_.told.back().starts_with("credential x is not accepted")) return;
    seen = StateNow();
    // Longer than its lease of the item lasts, which nobody else takes meanwhile.
    world_.Advance(std::chrono::minutes(10));
    Keep();
  };
  const auto job = Delta();
  ASSERT_TRUE(job) << job.error().Line();
  EXPECT_EQ(job->state, JobState::kSucceeded) << (job->error ? job->error->Line() : "");
  EXPECT_EQ(seen, JobState::kWaitingForInput);
  world_.CheckPoints();
}

TEST_F(SasEndsInAJobTest, AStopCancelsIt) {
  person_.act = [&] { stop_.request_stop(); };
  const auto job = Delta();
  ASSERT_TRUE(job) << job.error().Line();
  EXPECT_EQ(job->state, JobState::kCancelled) << (job->error ? job->error->Line() : "");
  EXPECT_TRUE(job->retryable);
  // The lease could not be given back.
  world_.Advance(std::chrono::minutes(2));
  const Status again = world_.Delta("one");
  EXPECT_TRUE(again) << again.error().Line();
  world_.CheckPoints();
}

}  // namespace
}  // namespace asr
