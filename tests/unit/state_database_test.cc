#include "core/state/state_database.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/state/schema.h"
#include "storage/sqlite/database.h"
#include "storage/sqlite/migrations.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class StateDatabaseTest : public ::testing::Test {
 protected:
  void SetUp() override { Reopen(); }

  void Reopen() {
    database_.reset();
    auto opened = StateDatabase::Open(PosixFileSystem(), clock_, state_directory());
    ASSERT_TRUE(opened.has_value()) << opened.error().Line();
    database_ = *std::move(opened);
  }

  std::string state_directory() const { return directory_ / "a/state"; }
  std::string file() const { return JoinPath(state_directory(), "state.db"); }

  Job NewJob(const std::string& item, JobState state = JobState::kSucceeded) {
    Job job;
    job.start_time = clock_.Now();
    job.id = NewJobId(job.start_time);
    job.type = "Replicate";
    job.item = item;
    job.vault = "main";
    job.state = state;
    return job;
  }
  Job Insert(const std::string& item, JobState state = JobState::kSucceeded) {
    const Job job = NewJob(item, state);
    EXPECT_TRUE(database_->InsertJob(job));
    return job;
  }
  std::vector<std::string> ListIds(const JobFilter& filter) {
    const auto jobs = database_->ListJobs(filter);
    EXPECT_TRUE(jobs.has_value());
    std::vector<std::string> ids;
    for (const Job& job : *jobs) ids.push_back(job.id.value);
    return ids;
  }
  // Runs `work` in a process of its own, with its own connection; true if it succeeded.
  template <class Work>
  pid_t InChild(Work work) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    auto opened = StateDatabase::Open(PosixFileSystem(), clock_, state_directory());
    ::_exit(opened && work(**opened) ? 0 : 1);
  }
  static bool Succeeded(pid_t child) {
    int status = -1;
    return ::waitpid(child, &status, 0) == child && status == 0;
  }
  // A job whose process has ended; it ran its second task.
  Job InsertOrphan() {
    Job job = NewJob("web", JobState::kInProgress);
    job.tasks = {{"Prepare", JobState::kSucceeded, 0, 0, {}},
                 {"Replicate disk root", JobState::kInProgress, 10, 100, {}},
                 {"Seal", JobState::kNotStarted, 0, 0, {}}};
    // Not `database_`: a connection must not be carried over a fork.
    database_.reset();
    EXPECT_TRUE(Succeeded(InChild(
        [&](StateDatabase& database) -> bool { return database.InsertJob(job).has_value(); })));
    Reopen();
    return job;
  }

  asr::testing::TempDir directory_;
  asr::testing::FakeClock clock_;
  std::unique_ptr<StateDatabase> database_;
};

TEST_F(StateDatabaseTest, DirectoryAndFileAreForTheirOwnerOnly) {
  struct stat status {};
  ASSERT_EQ(::stat(state_directory().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(StateDatabaseTest, RefusesNewerSchemaWithAdvice) {
  database_.reset();
  {
    auto raw = SqlDatabase::Open(file(), {});
    ASSERT_TRUE(raw->Execute("PRAGMA user_version=1000"));
  }
  const auto opened = StateDatabase::Open(PosixFileSystem(), clock_, state_directory());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kDatabase);
  EXPECT_THAT(opened.error().action, HasSubstr("--state-dir"));
}

TEST_F(StateDatabaseTest, DamagedFileIsSaidWithAdvice) {
  database_.reset();
  const std::string noise(8192, 'x');
  ASSERT_TRUE(WriteFileAtomic(PosixFileSystem(), file(), AsBytes(noise)));
  const auto opened = StateDatabase::Open(PosixFileSystem(), clock_, state_directory());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kDatabase);
  EXPECT_EQ(opened.error().kind, ErrorKind::kCorrupt);
  EXPECT_THAT(opened.error().action, HasSubstr("mv " + file()));
  EXPECT_THAT(opened.error().action, HasSubstr("in the vault"));
}

TEST_F(StateDatabaseTest, FirstVaultIsTheDefaultUntilAnotherIsChosen) {
  ASSERT_TRUE(database_->AddVault({"main", "file:///m", "id-m", false}));
  ASSERT_TRUE(database_->AddVault({"away", "file:///a", "id-a", true}));
  EXPECT_EQ(database_->FindVault("")->name, "main");
  EXPECT_EQ(database_->FindVault("away")->target, "file:///a");
  ASSERT_TRUE(database_->UseVault("away"));
  Reopen();
  EXPECT_EQ(database_->FindVault("")->name, "away");
  const std::vector<VaultRegistration> expected = {{"away", "file:///a", "id-a", true},
                                                   {"main", "file:///m", "id-m", false}};
  EXPECT_EQ(*database_->ListVaults(), expected);
}

TEST_F(StateDatabaseTest, VaultNameIsTakenOnce) {
  ASSERT_TRUE(database_->AddVault({"main", "file:///m", "id-m", false}));
  const Status again = database_->AddVault({"main", "file:///x", "id-x", false});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().kind, ErrorKind::kState);
  EXPECT_EQ(again.error().code, ErrorCode::kVaultExists);
  EXPECT_EQ(database_->FindVault("main")->target, "file:///m");
}

TEST_F(StateDatabaseTest, RemovedDefaultPassesOnlyToASingleOther) {
  for (const char* name : {"one", "two", "three"}) {
    ASSERT_TRUE(database_->AddVault({name, "file:///", name, false}));
  }
  ASSERT_TRUE(database_->RemoveVault("one"));
  const auto none = database_->FindVault("");
  ASSERT_FALSE(none.has_value());
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(none.error().action, HasSubstr("asr vault use"));
  ASSERT_TRUE(database_->RemoveVault("three"));
  EXPECT_EQ(database_->FindVault("")->name, "two");
  ASSERT_TRUE(database_->RemoveVault("two"));
  EXPECT_THAT(database_->FindVault("").error().action, HasSubstr("asr vault create"));
}

TEST_F(StateDatabaseTest, UnknownVaultSuggestsTheNearest) {
  ASSERT_TRUE(database_->AddVault({"main", "file:///m", "id-m", false}));
  ASSERT_TRUE(database_->AddVault({"offsite", "file:///o", "id-o", false}));
  for (const Status& status : {database_->UseVault("ofsite"), database_->RemoveVault("ofsite")}) {
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, ErrorCode::kVaultNotFound);
    EXPECT_THAT(status.error().action, HasSubstr("did you mean offsite?"));
  }
  EXPECT_THAT(database_->FindVault("ofsite").error().action, HasSubstr("offsite?"));
  EXPECT_EQ(database_->FindVault("")->name, "main");  // a failed use changes nothing
}

TEST_F(StateDatabaseTest, Hosts) {
  ASSERT_TRUE(database_->AddHost({"lab", "folder", "/vms"}));
  ASSERT_TRUE(database_->AddHost({"attic", "folder", "/old"}));
  const Status again = database_->AddHost({"lab", "folder", "/elsewhere"});
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, ErrorCode::kHostExists);
  EXPECT_EQ(again.error().kind, ErrorKind::kState);
  EXPECT_EQ(database_->FindHost("lab")->path, "/vms");
  EXPECT_THAT(*database_->ListHosts(), SizeIs(2));
  EXPECT_THAT(database_->FindHost("lba").error().action, HasSubstr("did you mean lab?"));
  ASSERT_TRUE(database_->RemoveHost("lab"));
  EXPECT_EQ(database_->FindHost("lab").error().code, ErrorCode::kHostNotFound);
  EXPECT_EQ(database_->RemoveHost("lab").error().code, ErrorCode::kHostNotFound);
}

TEST_F(StateDatabaseTest, CursorsAreReplacedAndRemovedWithTheirItemOrVault) {
  ASSERT_TRUE(database_->AddVault({"main", "file:///m", "v", false}));
  DiskCursor cursor{"v", {"web-1"}, {"root"}, {"p1"}, "[1]", clock_.Now(), clock_.Now()};
  ASSERT_TRUE(database_->PutCursor(cursor));
  cursor.point = {"p2"};
  cursor.pass_started += std::chrono::milliseconds{5};
  ASSERT_TRUE(database_->PutCursor(cursor));
  Reopen();
  const auto found = *database_->FindCursor("v", {"web-1"}, {"root"});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->point.value, "p2");
  EXPECT_EQ(found->stamps_json, "[1]");
  EXPECT_EQ(found->pass_started, cursor.pass_started);
  EXPECT_EQ(found->full_read, cursor.full_read);
  EXPECT_FALSE(database_->FindCursor("v", {"web-1"}, {"data"})->has_value());
  cursor.item = {"db-1"};
  ASSERT_TRUE(database_->PutCursor(cursor));
  ASSERT_TRUE(database_->RemoveCursors("v", {"web-1"}));
  EXPECT_FALSE(database_->FindCursor("v", {"web-1"}, {"root"})->has_value());
  EXPECT_TRUE(database_->FindCursor("v", {"db-1"}, {"root"})->has_value());
  ASSERT_TRUE(database_->RemoveVault("main"));
  EXPECT_FALSE(database_->FindCursor("v", {"db-1"}, {"root"})->has_value());
}

TEST_F(StateDatabaseTest, TestFailovers) {
  TestFailover test{"v",          {"web-1"},       {"p1"},        {"j1"},
                    "InProgress", "/state/test/1", "{\"pid\":5}", clock_.Now()};
  ASSERT_TRUE(database_->PutTestFailover(test));
  test.state = "WaitingForCleanup";
  ASSERT_TRUE(database_->PutTestFailover(test));
  const auto found = *database_->FindTestFailover("v", {"web-1"});
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->point.value, "p1");
  EXPECT_EQ(found->job.value, "j1");
  EXPECT_EQ(found->state, "WaitingForCleanup");
  EXPECT_EQ(found->directory, "/state/test/1");
  EXPECT_EQ(found->machine_json, "{\"pid\":5}");
  EXPECT_EQ(found->started, clock_.Now());
  EXPECT_EQ(found->vm, "");
  EXPECT_FALSE(found->cleanup_due);
  test.vm = "web";
  test.cleanup_due = clock_.Now() + std::chrono::hours(2);
  ASSERT_TRUE(database_->PutTestFailover(test));
  EXPECT_EQ((*database_->FindTestFailover("v", {"web-1"}))->vm, "web");
  EXPECT_EQ((*database_->FindTestFailover("v", {"web-1"}))->cleanup_due, test.cleanup_due);
  EXPECT_FALSE(database_->FindTestFailover("other", {"web-1"})->has_value());
  EXPECT_THAT(*database_->ListTestFailovers(), SizeIs(1));
  ASSERT_TRUE(database_->RemoveTestFailover("v", {"web-1"}));
  EXPECT_THAT(*database_->ListTestFailovers(), IsEmpty());
}

TEST_F(StateDatabaseTest, Settings) {
  EXPECT_FALSE(database_->FindSetting("output")->has_value());
  ASSERT_TRUE(database_->SetSetting("output", "json"));
  ASSERT_TRUE(database_->SetSetting("output", ""));
  EXPECT_EQ(*database_->FindSetting("output"), "");
}

TEST_F(StateDatabaseTest, JobReadsBackAsWritten) {
  Job job = NewJob("web", JobState::kInProgress);
  ASSERT_TRUE(database_->InsertJob(job));
  const Error error = MakeError(ErrorKind::kNoSpace, ErrorCode::kNoSpace, "full").Retryable();
  job.state = JobState::kFailed;
  job.retryable = true;
  job.end_time = job.start_time + std::chrono::milliseconds{1234};
  job.error = error;
  job.stats = {1, 2, 3, 1ULL << 60};
  job.tasks = {{"Check", JobState::kSucceeded, 0, 0, {}},
               {"Replicate disk root", JobState::kFailed, 5, 9, error}};
  ASSERT_TRUE(database_->UpdateJob(job));
  Reopen();
  const auto found = database_->FindJob(job.id.value);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->type, "Replicate");
  EXPECT_EQ(found->item, "web");
  EXPECT_EQ(found->vault, "main");
  EXPECT_EQ(found->state, JobState::kFailed);
  EXPECT_TRUE(found->retryable);
  EXPECT_EQ(found->start_time, job.start_time);
  EXPECT_EQ(found->end_time, job.end_time);
  EXPECT_EQ(found->error->code, ErrorCode::kNoSpace);
  EXPECT_EQ(found->stats, job.stats);
  ASSERT_THAT(found->tasks, SizeIs(2));
  EXPECT_EQ(found->tasks[0].name, "Check");
  EXPECT_FALSE(found->tasks[0].error.has_value());
  EXPECT_EQ(found->tasks[1].bytes_done, 5U);
  EXPECT_EQ(found->tasks[1].bytes_total, 9U);
  EXPECT_EQ(found->tasks[1].error->message, "full");
}

TEST_F(StateDatabaseTest, UpdateReplacesTheTasks) {
  Job job = NewJob("web");
  job.tasks = {{"a", JobState::kSucceeded, 0, 0, {}}, {"b", JobState::kSucceeded, 0, 0, {}}};
  ASSERT_TRUE(database_->InsertJob(job));
  job.tasks = {{"c", JobState::kSucceeded, 0, 0, {}}};
  ASSERT_TRUE(database_->UpdateJob(job));
  const auto found = database_->FindJob(job.id.value);
  ASSERT_THAT(found->tasks, SizeIs(1));
  EXPECT_EQ(found->tasks[0].name, "c");
}

TEST_F(StateDatabaseTest, UnknownJobCannotBeUpdated) {
  EXPECT_EQ(database_->UpdateJob(NewJob("web")).error().code, ErrorCode::kJobNotFound);
}

TEST_F(StateDatabaseTest, ProgressOfOneTask) {
  Job job = NewJob("web", JobState::kInProgress);
  job.tasks = {{"a", JobState::kSucceeded, 1, 1, {}}, {"b", JobState::kInProgress, 0, 50, {}}};
  ASSERT_TRUE(database_->InsertJob(job));
  ASSERT_TRUE(database_->UpdateTaskProgress(job.id, 1, 25));
  const auto found = database_->FindJob(job.id.value);
  EXPECT_EQ(found->tasks[0].bytes_done, 1U);
  EXPECT_EQ(found->tasks[1].bytes_done, 25U);
  EXPECT_EQ(found->state, JobState::kInProgress);  // this process lives
}

TEST_F(StateDatabaseTest, ListsNewestFirstWithFilters) {
  const std::string first = Insert("web").id.value;
  clock_.Advance(1);
  const std::string second = Insert("db", JobState::kFailed).id.value;
  const Timestamp middle = clock_.Now();
  clock_.Advance(1);
  const std::string third = Insert("web", JobState::kFailed).id.value;
  const std::string fourth = Insert("web").id.value;  // of the same instant, but later

  EXPECT_THAT(ListIds({}), ElementsAre(fourth, third, second, first));
  EXPECT_THAT(ListIds({.item = "web", .state = {}, .since = {}, .limit = 0}),
              ElementsAre(fourth, third, first));
  EXPECT_THAT(ListIds({.item = "", .state = JobState::kFailed, .since = {}, .limit = 0}),
              ElementsAre(third, second));
  EXPECT_THAT(ListIds({.item = "", .state = {}, .since = middle, .limit = 0}),
              ElementsAre(fourth, third, second));
  EXPECT_THAT(ListIds({.item = "", .state = {}, .since = {}, .limit = 2}),
              ElementsAre(fourth, third));
  EXPECT_THAT(ListIds({.item = "web", .state = JobState::kFailed, .since = middle, .limit = 5}),
              ElementsAre(third));
  EXPECT_THAT(ListIds({.item = "nobody", .state = {}, .since = {}, .limit = 0}), IsEmpty());
}

TEST_F(StateDatabaseTest, ListsThoseThatBeginAlike) {
  const Job first = Insert("web");
  clock_.Advance(3600);
  Insert("web");
  JobFilter filter;
  filter.beginning = first.id.value.substr(0, 11);
  EXPECT_THAT(ListIds(filter), ElementsAre(first.id.value));
  filter.beginning = first.id.value.substr(0, 8);
  EXPECT_THAT(ListIds(filter), SizeIs(2));
  filter.limit = 1;
  EXPECT_THAT(ListIds(filter), SizeIs(1));
}

TEST_F(StateDatabaseTest, ListedJobsHaveTheirOwnTasks) {
  for (const char* item : {"a", "b", "c"}) {
    Job job = NewJob(item);
    job.tasks = {{item, JobState::kSucceeded, 0, 0, {}},
                 {item + std::string("2"), JobState::kSucceeded, 0, 0, {}}};
    ASSERT_TRUE(database_->InsertJob(job));
    clock_.Advance(1);
  }
  const auto jobs = database_->ListJobs({.item = "", .state = {}, .since = {}, .limit = 2});
  ASSERT_THAT(*jobs, SizeIs(2));
  for (const Job& job : *jobs) {
    ASSERT_THAT(job.tasks, SizeIs(2));
    EXPECT_EQ(job.tasks[0].name, job.item);
    EXPECT_EQ(job.tasks[1].name, job.item + "2");
  }
}

TEST_F(StateDatabaseTest, FindsJobByUniqueBeginning) {
  for (const char* id : {"20261123T063000-aaaa01", "20261123T063000-aaaa02", "20261123T0630"}) {
    Job job = NewJob("web");
    job.id = {id};
    ASSERT_TRUE(database_->InsertJob(job));
  }
  EXPECT_EQ(database_->FindJob("20261123T063000-aaaa01")->id.value, "20261123T063000-aaaa01");
  EXPECT_EQ(database_->FindJob("20261123T0630")->id.value, "20261123T0630");
  const auto ambiguous = database_->FindJob("20261123T063000-a");
  ASSERT_FALSE(ambiguous.has_value());
  EXPECT_EQ(ambiguous.error().code, ErrorCode::kJobNotFound);
  EXPECT_THAT(ambiguous.error().action, HasSubstr("20261123T063000-aaaa02"));
  for (const char* id : {"", "2027", "%", "20261123T063000-aaaa011"}) {
    const auto none = database_->FindJob(id);
    ASSERT_FALSE(none.has_value()) << id;
    EXPECT_EQ(none.error().code, ErrorCode::kJobNotFound);
    EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  }
}

TEST_F(StateDatabaseTest, JobWhoseProcessDiedReadsAsFailedAndRetryable) {
  const Job job = InsertOrphan();
  clock_.Advance(60);
  const auto found = database_->FindJob(job.id.value);
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->state, JobState::kFailed);
  EXPECT_TRUE(found->retryable);
  EXPECT_EQ(found->end_time, clock_.Now());
  ASSERT_TRUE(found->error.has_value());
  EXPECT_EQ(found->error->CodeText(), "ASR5002");
  EXPECT_FALSE(found->error->causes.empty());
  EXPECT_THAT(found->error->action, HasSubstr("asr replicate web --vault main"));
  EXPECT_EQ(found->tasks[0].state, JobState::kSucceeded);
  EXPECT_EQ(found->tasks[1].state, JobState::kFailed);
  EXPECT_EQ(found->tasks[1].error->code, ErrorCode::kJobInterrupted);
  EXPECT_EQ(found->tasks[1].bytes_done, 10U);
  EXPECT_EQ(found->tasks[2].state, JobState::kNotStarted);
  // Recorded: the end does not move with every look.
  clock_.Advance(60);
  EXPECT_EQ(database_->FindJob(job.id.value)->end_time, found->end_time);
}

TEST_F(StateDatabaseTest, AJobKeepsItsCommandAndItsProcess) {
  const JobCommand command{.words = R"(["replicate","web"])", .working_directory = "/srv"};
  Job job = NewJob("web", JobState::kInProgress);
  ASSERT_TRUE(database_->InsertJob(job, command));
  job.state = JobState::kCancelled;
  ASSERT_TRUE(database_->UpdateJob(job));
  Reopen();
  EXPECT_EQ(*database_->FindJobCommand(job.id), command);
  EXPECT_EQ(*database_->FindJobProcess(job.id), CurrentProcess());
  EXPECT_EQ(*database_->FindJobCommand(Insert("web").id), JobCommand{});
  EXPECT_EQ(database_->FindJobCommand({"nope"}).error().code, ErrorCode::kJobNotFound);
  EXPECT_EQ(database_->FindJobProcess({"nope"}).error().code, ErrorCode::kJobNotFound);
}

TEST_F(StateDatabaseTest, JobsOfTheFirstSchemaHaveNoCommand) {
  database_.reset();
  ASSERT_TRUE(PosixFileSystem().RemoveFile(file()));
  {
    auto raw = SqlDatabase::Open(file(), {});
    ASSERT_TRUE(Migrate(*raw, StateSchema().first(1), ""));
    ASSERT_TRUE(
        raw->Execute("INSERT INTO jobs VALUES (1, 'old', 'Replicate', 'web', 'main', 'Cancelled', "
                     "1, 0, 1, NULL, 0, 0, 0, 0, 7, 8, 'boot')"));
  }
  Reopen();
  EXPECT_EQ(database_->FindJob("old")->item, "web");
  EXPECT_EQ(*database_->FindJobCommand({"old"}), JobCommand{});
  EXPECT_EQ(database_->FindJobProcess({"old"})->pid, 7);
}

TEST_F(StateDatabaseTest, DeadJobsAreFilteredAsWhatTheyAre) {
  const Job job = InsertOrphan();
  const JobFilter running{.item = "", .state = JobState::kInProgress, .since = {}, .limit = 0};
  const JobFilter failed{.item = "", .state = JobState::kFailed, .since = {}, .limit = 1};
  EXPECT_THAT(ListIds(running), IsEmpty());
  EXPECT_THAT(ListIds(failed), ElementsAre(job.id.value));
}

TEST_F(StateDatabaseTest, DeadJobsAreFoundEvenIfThatCannotBeRecorded) {
  const Job job = InsertOrphan();
  auto raw = SqlDatabase::Open(file(), {});
  ASSERT_TRUE(
      raw->Execute("CREATE TRIGGER full BEFORE UPDATE ON jobs "
                   "BEGIN SELECT RAISE(ABORT, 'no space'); END"));
  const JobFilter failed{.item = "", .state = JobState::kFailed, .since = {}, .limit = 1};
  const JobFilter running{.item = "", .state = JobState::kInProgress, .since = {}, .limit = 0};
  EXPECT_THAT(ListIds(running), IsEmpty());
  const auto jobs = database_->ListJobs(failed);
  ASSERT_THAT(*jobs, SizeIs(1));
  EXPECT_EQ(jobs->front().error->code, ErrorCode::kJobInterrupted);
  EXPECT_EQ(database_->FindJob(job.id.value)->state, JobState::kFailed);
}

TEST_F(StateDatabaseTest, ALookAtItChangesNothing) {
  const auto look = [&] { return StateDatabase::OpenForReading(clock_, state_directory()); };
  const Job finished = Insert("web");
  const Job orphan = InsertOrphan();
  {
    const auto beside_a_writer = look();
    ASSERT_TRUE(beside_a_writer.has_value()) << beside_a_writer.error().Line();
    EXPECT_EQ((*beside_a_writer)->FindJob(finished.id.value)->item, "web");
    EXPECT_EQ((*beside_a_writer)->FindJob(orphan.id.value)->state, JobState::kFailed);
    EXPECT_FALSE((*beside_a_writer)->SetSetting("output", "json"));
  }
  database_.reset();
  {
    const auto alone = look();
    ASSERT_TRUE(alone.has_value()) << alone.error().Line();
    EXPECT_THAT(*(*alone)->ListJobs({}), SizeIs(2));
    EXPECT_FALSE((*alone)->SetSetting("output", "json"));
  }
  EXPECT_THAT(*PosixFileSystem().List(state_directory()), SizeIs(1));  // no -wal, no -shm
  ASSERT_TRUE(PosixFileSystem().RemoveTree(state_directory()));
  EXPECT_FALSE(look());
  EXPECT_FALSE(PosixFileSystem().Stat(state_directory()));
}

// A process that was ended while it closed the database leaves its log without the index.
TEST_F(StateDatabaseTest, ALookNeedsNobodyToTidyUp) {
  Insert("web");
  Reopen();
  ASSERT_TRUE(database_->SetSetting("output", "json"));  // there is a log now
  const asr::testing::TempDir left;
  for (const char* name : {"state.db", "state.db-wal"}) {
    std::filesystem::copy_file(JoinPath(state_directory(), name), left / name);
  }
  const auto look = StateDatabase::OpenForReading(clock_, left.path());
  ASSERT_TRUE(look.has_value()) << look.error().Line();
  EXPECT_THAT(*(*look)->ListJobs({}), SizeIs(1));
}

TEST_F(StateDatabaseTest, ALookRefusesOtherSchemas) {
  database_.reset();
  ASSERT_TRUE(PosixFileSystem().RemoveFile(file()));
  {
    auto raw = SqlDatabase::Open(file(), {});
    ASSERT_TRUE(Migrate(*raw, StateSchema().first(1), ""));
  }
  EXPECT_FALSE(StateDatabase::OpenForReading(clock_, state_directory()));
}

TEST_F(StateDatabaseTest, ProcessesMayCreateAndWriteAtOnce) {
  database_.reset();
  ASSERT_TRUE(PosixFileSystem().RemoveTree(state_directory()));
  constexpr int kProcesses = 4;
  constexpr int kJobsOfEach = 20;
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(InChild([&](StateDatabase& database) {
      for (int j = 0; j < kJobsOfEach; ++j) {
        Job job = NewJob("vm" + std::to_string(i));
        if (!database.InsertJob(job) || !database.UpdateJob(job)) return false;
      }
      // Taken by whoever comes first; the others are told so.
      const Status added = database.AddVault({"main", "file:///m", "id", false});
      return added.has_value() || added.error().code == ErrorCode::kVaultExists;
    }));
  }
  for (const pid_t child : children) EXPECT_TRUE(Succeeded(child));
  Reopen();
  EXPECT_THAT(ListIds({}), SizeIs(kProcesses * kJobsOfEach));
  EXPECT_THAT(*database_->ListVaults(), SizeIs(1));
}

TEST_F(StateDatabaseTest, ThreadsMayShareIt) {
  constexpr int kThreads = 4;
  constexpr int kJobsOfEach = 10;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([this] {
      for (int j = 0; j < kJobsOfEach; ++j) {
        Job job = NewJob("web", JobState::kInProgress);
        job.tasks = {{"a", JobState::kInProgress, 0, 9, {}}};
        EXPECT_TRUE(database_->InsertJob(job));
        // Held up by nobody: it may give way to another writer, but then says so.
        const Status progress = database_->UpdateTaskProgress(job.id, 0, 5);
        EXPECT_TRUE(progress || progress.error().kind == ErrorKind::kBusy);
        EXPECT_TRUE(database_->ListJobs({}).has_value());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(ListIds({}), SizeIs(kThreads * kJobsOfEach));
}

}  // namespace
}  // namespace asr
