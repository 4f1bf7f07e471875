// What can be done with a job: watched, cancelled, run again; and what becomes of it, and of the
// helpers it started, when its process dies.
#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/failover/qemu_machine.h"
#include "core/jobs/job_run.h"
#include "storage/base/subprocess.h"
#include "storage/sqlite/database.h"
#include "tests/support/asr_process.h"
#include "tests/support/becomes_true.h"
#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = nlohmann::ordered_json;

class JobsTest : public ::testing::Test {
 protected:
  void SetUp() override { cli.SetUpLab(); }

  // A disk that takes a while: bytes that are neither zeros nor like others.
  void MakeBigDisk() {
    std::mt19937_64 random(1);
    std::ofstream file(cli.Path("vms/web/big.raw"), std::ios::binary);
    std::vector<std::uint64_t> block(kMiB / sizeof(std::uint64_t));
    for (int i = 0; i < 96; ++i) {
      std::generate(block.begin(), block.end(), random);
      file.write(reinterpret_cast<const char*>(block.data()), kMiB);
    }
  }

  // `asr WORDS` in a process of its own.
  std::unique_ptr<AsrProcess> Start(std::vector<std::string> words) {
    words.insert(words.end(), {"--state-dir", cli.Path("state")});
    return std::make_unique<AsrProcess>(words, cli.Path("output"));
  }

  // The job that such a process runs, once it is there.
  std::string WaitForJob(const std::string& type) {
    std::string id;
    const auto is_there = [&] {
      for (const Json& job : cli.Json("jobs list --state InProgress")) {
        if (job["type"] == type) id = job["id"];
      }
      return !id.empty();
    };
    EXPECT_TRUE(BecomesTrue(is_there, 30, 0.01)) << cli.ReadFile(cli.Path("output"));
    return id;
  }

  std::unique_ptr<StateDatabase> OpenState() {
    return *StateDatabase::Open(PosixFileSystem(), SystemClock(), cli.Path("state"));
  }

  Environment EnvironmentOf(StateDatabase& state) {
    return {.fs = PosixFileSystem(),
            .clock = SystemClock(),
            .state = state,
            .progress = NoProgress(),
            .state_directory = cli.Path("state"),
            .stop = {}};
  }

  // The id of the job that `line` ran, and that did not succeed.
  std::string FailedJob(const std::string& line, int exit_code) {
    const CommandResult result = cli.Run(line + " -o json");
    EXPECT_EQ(result.exit_code, exit_code) << line << "\n" << result.err;
    Json job = result.OutJson();
    if (job.contains("job")) job = job["job"];
    EXPECT_NE(job["state"], "Succeeded") << line;
    return job["id"];
  }

  CliRunner cli;
};

class InDirectory {
 public:
  explicit InDirectory(const std::string& path) : before_(std::filesystem::current_path()) {
    std::filesystem::create_directories(path);
    std::filesystem::current_path(path);
  }
  ~InDirectory() { std::filesystem::current_path(before_); }
  InDirectory(const InDirectory&) = delete;
  InDirectory& operator=(const InDirectory&) = delete;

 private:
  std::filesystem::path before_;
};

TEST_F(JobsTest, OfAJobThatDoesNotExistIs3) {
  for (const char* verb : {"watch", "cancel", "retry", "resume"}) {
    const CommandResult result = cli.Run(std::string("jobs ") + verb + " nope -o json");
    EXPECT_EQ(result.exit_code, 3) << verb;
    EXPECT_EQ(result.ErrJson()["error"]["code"], "ASR5001") << verb;
  }
  EXPECT_EQ(cli.Run("jobs cancel").exit_code, 2);
}

TEST_F(JobsTest, WhatHasEndedCannotBeCancelledNorWhatSucceededBeRetried) {
  const std::string id = cli.Json("enable web --policy gold")["id"];
  for (const char* verb : {"cancel", "retry", "resume"}) {
    const CommandResult result = cli.Run(fmt::format("jobs {} {} -o json", verb, id));
    EXPECT_EQ(result.exit_code, 4) << verb;
    EXPECT_EQ(result.out, "");
    const Json error = result.ErrJson()["error"];
    EXPECT_EQ(error["code"], "ASR5005") << verb;
    EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("Succeeded"));
    EXPECT_THAT(error["action"].get<std::string>(), HasSubstr("asr "));
  }
  EXPECT_EQ(cli.Run("jobs cancel " + id + " --dry-run").exit_code, 4);
  cli.stop.request_stop();
  const std::string cancelled = FailedJob("replicate web", 130);
  const CommandResult again = cli.Run("jobs cancel " + cancelled + " -o json");
  EXPECT_EQ(again.exit_code, 4);
  EXPECT_THAT(again.ErrJson()["error"]["action"].get<std::string>(),
              HasSubstr("asr jobs retry " + cancelled));
}

TEST_F(JobsTest, AJobInProgressIsNotRetried) {
  const auto state = OpenState();
  Environment environment = EnvironmentOf(*state);
  auto run = JobRun::Start(environment, "Replicate", "web", "main");
  const std::string id = run->job().id.value;
  const CommandResult result = cli.Run("jobs retry " + id + " -o json");
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.ErrJson()["error"]["action"].get<std::string>(),
              HasSubstr("asr jobs watch " + id));
  const Json plan = cli.Json("jobs cancel " + id + " --dry-run")["plan"];
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_THAT(plan[0]["step"].get<std::string>(), HasSubstr(std::to_string(::getpid())));
  EXPECT_TRUE(run->End({}));
}

TEST_F(JobsTest, CancelEndsTheJobAsCtrlCWould) {
  MakeBigDisk();
  const auto process = Start({"enable", "web", "--policy", "gold", "-o", "json"});
  const std::string id = WaitForJob("EnableProtection");
  // Held until it has been asked, so that it cannot end of its own before.
  process->Signal(SIGSTOP);
  std::thread resumer([&] {
    SystemClock().SleepSeconds(0.5);
    process->Signal(SIGCONT);
  });
  const Json job = cli.Json("jobs cancel " + id);
  resumer.join();
  EXPECT_EQ(job["id"], id);
  EXPECT_EQ(job["state"], "Cancelled");
  EXPECT_EQ(job["retryable"], true);
  EXPECT_EQ(process->Wait(), 130);
  EXPECT_EQ(cli.Json("jobs retry " + id)["state"], "Succeeded");
  EXPECT_EQ(cli.Json("points list web").size(), 1U);
}

TEST_F(JobsTest, AKilledJobIsSeenAndGoesOn) {
  MakeBigDisk();
  const auto process = Start({"enable", "web", "--policy", "gold"});
  const std::string id = WaitForJob("EnableProtection");
  ASSERT_TRUE(process->Kill());
  const Json job = cli.Json("jobs show " + id);
  EXPECT_EQ(job["state"], "Failed");
  EXPECT_EQ(job["retryable"], true);
  EXPECT_FALSE(job["endTime"].is_null());
  EXPECT_EQ(job["error"]["code"], "ASR5002");
  EXPECT_THAT(job["error"]["action"].get<std::string>(), HasSubstr("asr jobs resume " + id));
  EXPECT_EQ(cli.Run("jobs watch " + id).exit_code, 1);
  const Json resumed = cli.Json("jobs resume " + id);
  EXPECT_EQ(resumed["state"], "Succeeded");
  EXPECT_NE(resumed["id"], id);
  EXPECT_EQ(cli.Json("items show web")["protectionState"], "Protected");
}

TEST_F(JobsTest, RetryRunsTheSameCommandInItsDirectoryAndVault) {
  cli.Json("enable web --policy gold");
  cli.Json("vault create second --target {dir}/second");
  cli.WriteFile("taken", "a file where a directory is wanted");
  std::string id;
  {
    const InDirectory there(cli.Path(""));
    id = FailedJob("restore web --to taken --disk data --format vhd --vault main", 4);
  }
  std::filesystem::remove(cli.Path("taken"));
  cli.Json("vault use second");
  const InDirectory elsewhere(cli.Path("elsewhere"));
  const Json job = cli.Json("jobs retry " + id);
  EXPECT_EQ(job["type"], "Restore");
  EXPECT_EQ(job["state"], "Succeeded");
  EXPECT_TRUE(std::filesystem::exists(cli.Path("taken/data.vhd")));
  EXPECT_FALSE(std::filesystem::exists(cli.Path("taken/root.vhd")));
}

TEST_F(JobsTest, ARetryCanBeRetried) {
  cli.Json("enable web --policy gold");
  cli.stop.request_stop();
  const std::string first = FailedJob("replicate web", 130);
  const std::string second = FailedJob("jobs retry " + first, 130);
  EXPECT_NE(first, second);
  cli.stop = std::stop_source();
  const Json outcome = cli.Json("jobs retry " + second);
  EXPECT_EQ(outcome["job"]["state"], "Succeeded");
  EXPECT_EQ(outcome["point"]["new"], false);
  // A dry run is the command's own.
  EXPECT_TRUE(cli.Json("jobs retry " + first + " --dry-run").contains("plan"));
}

TEST_F(JobsTest, RetryAsksAgain) {
  cli.Json("enable web --policy gold");
  cli.stop.request_stop();
  const std::string id = FailedJob("disable web -y", 130);
  cli.stop = std::stop_source();
  const CommandResult unasked = cli.Run("jobs retry " + id + " -o json");
  EXPECT_EQ(unasked.exit_code, 2);
  EXPECT_EQ(unasked.ErrJson()["error"]["code"], "ASR9002");
  EXPECT_EQ(cli.Json("items list").size(), 1U);
  EXPECT_EQ(cli.Json("jobs retry " + id + " -y")["state"], "Succeeded");
  EXPECT_EQ(cli.Json("items list").size(), 0U);
}

TEST_F(JobsTest, AFailureThatStaysIsRetriedWithAWarning) {
  cli.Json("enable web --policy gold");
  std::filesystem::rename(cli.Path("vms/web/data.raw"), cli.Path("data.raw"));
  const CommandResult failed = cli.Run("replicate web -o json");
  ASSERT_EQ(failed.OutJson()["job"]["retryable"], false);
  const std::string id = failed.OutJson()["job"]["id"];
  const CommandResult again = cli.Run("jobs retry " + id);
  EXPECT_EQ(again.exit_code, failed.exit_code);
  EXPECT_THAT(again.err, HasSubstr("WARNING: job " + id));
  std::filesystem::rename(cli.Path("data.raw"), cli.Path("vms/web/data.raw"));
  EXPECT_EQ(cli.Json("jobs retry " + id)["job"]["state"], "Succeeded");
}

TEST_F(JobsTest, OfAJobWithoutItsCommandTheNextOneIsTold) {
  cli.Json("enable web --policy gold");
  cli.stop.request_stop();
  const std::string id = FailedJob("replicate web", 130);
  {
    auto raw = SqlDatabase::Open(cli.Path("state/state.db"), {});
    ASSERT_TRUE(raw->Execute("UPDATE jobs SET command = '', working_directory = ''"));
  }
  const CommandResult result = cli.Run("jobs retry " + id + " -o json");
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_EQ(result.ErrJson()["error"]["code"], "ASR5005");
  EXPECT_THAT(result.ErrJson()["error"]["action"].get<std::string>(),
              HasSubstr("asr replicate web --vault main"));
}

TEST_F(JobsTest, WatchFollowsTheTasksAndEndsAsTheJobDid) {
  cli.terminal = {.in_is_terminal = false, .out_is_terminal = false, .err_is_terminal = true};
  const auto state = OpenState();
  Environment environment = EnvironmentOf(*state);
  const std::vector<std::pair<Status, int>> ends = {
      {Status(), 0},
      {Status(Fail(ErrorKind::kNotFound, ErrorCode::kFileNotFound, "no image")), 1},
      {Status(Fail(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped")), 130}};
  for (const auto& wanted : ends) {
    auto run = JobRun::Start(environment, "Replicate", "web", "main");
    ASSERT_TRUE(run->RunTask("Take snapshot", 0, [](TaskProgress&) { return Status(); }));
    const std::string id = run->job().id.value;
    std::thread runner([&] {
      const Status done = run->RunTask("Replicate disk root", kMiB, [&](TaskProgress& progress) {
        SystemClock().SleepSeconds(0.6);
        progress.Advance(kMiB / 2);
        SystemClock().SleepSeconds(0.3);
        return wanted.first;
      });
      EXPECT_TRUE(run->End(done));
    });
    const CommandResult result = cli.Run("jobs watch " + id);
    runner.join();
    EXPECT_EQ(result.exit_code, wanted.second) << result.err;
    EXPECT_THAT(result.out, HasSubstr(id));
    EXPECT_THAT(result.err, HasSubstr("50 %"));
    EXPECT_THAT(result.err, HasSubstr("Replicate disk root"));
    EXPECT_THAT(result.err, Not(HasSubstr("Take snapshot")));  // had ended before
    EXPECT_EQ(cli.Run("jobs watch " + id + " -o none").exit_code, wanted.second);
  }
}

TEST_F(JobsTest, CtrlCEndsTheWatchAndNotTheJob) {
  const auto state = OpenState();
  Environment environment = EnvironmentOf(*state);
  auto run = JobRun::Start(environment, "Replicate", "web", "main");
  const std::string id = run->job().id.value;
  cli.stop.request_stop();
  const CommandResult result = cli.Run("jobs watch " + id + " -o json");
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.ErrJson()["error"]["action"].get<std::string>(),
              HasSubstr("asr jobs cancel " + id));
  EXPECT_EQ(cli.Json("jobs show " + id)["state"], "InProgress");
  EXPECT_TRUE(run->End({}));
}

TEST_F(JobsTest, ARestoreRemovesWhatADeadOneLeftAndNothingElse) {
  cli.Json("enable web --policy gold");
  std::filesystem::create_directories(cli.Path("out"));
  for (const char* name : {"out/data.raw.partial-0badc0de", "out/data.raw.partial-lock",
                           "out/mydata.raw.partial-1", "out/data.raw.bak"}) {
    cli.WriteFile(name, "left");
  }
  {
    const auto other = PosixFileSystem().Lock(cli.Path("out/data.raw.partial-lock"));
    const CommandResult refused = cli.Run("restore web --to {dir}/out --disk data -o json");
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_EQ(refused.ErrJson()["error"]["code"], "ASR1006");
    EXPECT_EQ(refused.ErrJson()["error"]["retryable"], true);
    EXPECT_TRUE(std::filesystem::exists(cli.Path("out/data.raw.partial-0badc0de")));
  }
  cli.Json("restore web --to {dir}/out --disk data");
  std::vector<std::string> names;
  for (const auto& [path, content] : cli.Tree("out")) names.push_back(path);
  EXPECT_THAT(names, ElementsAre(cli.Path("out/data.raw"), cli.Path("out/data.raw.bak"),
                                 cli.Path("out/mydata.raw.partial-1")));
}

// The child of `parent` that runs `program`; its name is cut to 15 characters by the kernel.
std::optional<ProcessIdentity> ChildOf(int parent, const std::string& program) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const std::string name = entry.path().filename();
    if (std::isdigit(static_cast<unsigned char>(name.front())) == 0) continue;
    std::string text;
    std::getline(std::ifstream(entry.path() / "stat"), text);
    const std::string stat = fmt::format("({}) ", program.substr(0, 15));
    const std::size_t at = text.find(stat);
    if (at == std::string::npos) continue;
    std::istringstream rest(text.substr(at + stat.size()));
    std::string state;
    int its_parent = 0;
    rest >> state >> its_parent;
    if (its_parent == parent) return ProcessWithId(std::stoi(name));
  }
  return std::nullopt;
}

TEST_F(JobsTest, TheServerOfAnImageDiesWithUs) {
  MakeBigDisk();
  const std::string convert =
      fmt::format("qemu-img convert -O qcow2 {0}/big.raw {0}/image.qcow2", cli.Path("vms/web"));
  ASSERT_EQ(std::system(convert.c_str()), 0);
  std::filesystem::remove(cli.Path("vms/web/big.raw"));
  const auto process = Start({"enable", "web", "--policy", "gold"});
  const std::string id = WaitForJob("EnableProtection");
  std::optional<ProcessIdentity> server;
  const auto is_there = [&] {
    server = ChildOf(process->pid(), "qemu-nbd");
    return server.has_value();
  };
  ASSERT_TRUE(BecomesTrue(is_there, 30, 0.01)) << cli.ReadFile(cli.Path("output"));
  // Before it has told the server anything, or in the middle of it.
  ASSERT_TRUE(process->Kill());
  EXPECT_TRUE(BecomesTrue([&] { return !IsAlive(*server); }));
  static_cast<void>(SignalProcess(*server, SIGKILL));
  EXPECT_EQ(cli.Json("jobs show " + id)["error"]["code"], "ASR5002");
  EXPECT_EQ(cli.Json("jobs resume " + id)["state"], "Succeeded");
}

// A guest outlives us on purpose, and is found by the next command even if nobody could say so.
TEST_F(JobsTest, TheGuestOfAKilledTestFailoverIsCleanedUp) {
  cli.Json("enable web --policy gold");
  const auto process = Start({"test-failover", "web", "--serial-text", "never"});
  const std::string id = WaitForJob("TestFailover");
  ASSERT_TRUE(BecomesTrue([&] {
    const Json tasks = cli.Json("jobs show " + id)["tasks"];
    return !tasks.empty() && tasks.back()["name"] == "Wait for sign of life";
  })) << cli.ReadFile(cli.Path("output"));
  ASSERT_TRUE(process->Kill());
  const std::string item = cli.Json("items show web")["id"];
  const auto guest = FindMachine(PosixFileSystem(), cli.Path("state/test-failovers/" + item));
  ASSERT_TRUE(guest.has_value());
  ASSERT_TRUE(IsAlive(guest->process));
  EXPECT_EQ(cli.Json("jobs show " + id)["error"]["code"], "ASR5002");
  EXPECT_EQ(cli.Json("test-failover-cleanup web")["state"], "Succeeded");
  EXPECT_FALSE(IsAlive(guest->process));
  EXPECT_THAT(cli.Tree("state/test-failovers"), IsEmpty());
}

}  // namespace
}  // namespace asr::testing
