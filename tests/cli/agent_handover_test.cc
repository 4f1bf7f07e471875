// Commands beside a running agent: it does their work, and they show and print it.
#include <algorithm>
#include <csignal>

#include <gmock/gmock.h>

#include "core/state/state_database.h"
#include "storage/fs/file_system.h"
#include "tests/cli/agent_fixture.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;

class AgentHandoverTest : public AgentTest {
 protected:
  void SetUp() override {
    AgentTest::SetUp();
    cli.Json("policy set slow --frequency 1h --retention 24h");
  }
  // Its disk has new bytes, for which the line takes ten seconds; the agent leaves it alone.
  void AddSlowVm(const std::string& name) {
    constexpr std::size_t kDiskMib = 160;
    constexpr std::size_t kNewMib = 50;
    std::filesystem::create_directories(cli.Path("vms/" + name));
    const std::string disk = cli.Path("vms/" + name + "/root.raw");
    std::ofstream(disk).close();
    std::filesystem::resize_file(disk, kDiskMib * kMiB);
    cli.Json("enable " + name + " --policy slow");
    cli.Json("pause " + name);
    std::fstream file(disk, std::ios::binary | std::ios::in | std::ios::out);
    std::string block(kMiB, '\0');
    for (std::size_t i = 0; i < kNewMib; ++i) {
      std::ranges::generate(block, [&] { return static_cast<char>(random_()); });
      file.write(block.data(), kMiB);
    }
    file.close();
    cli.Json("throttle set --work-mbps 40 --other-mbps 40");
  }
  std::unique_ptr<AsrProcess> Start(std::vector<std::string> words) {
    words.insert(words.end(), {"--state-dir", cli.Path("state")});
    return std::make_unique<AsrProcess>(words, cli.Path("said"));
  }
  pid_t ProcessOf(const Json& job) {
    const auto state = StateDatabase::Open(PosixFileSystem(), SystemClock(), cli.Path("state"));
    return (*state)->FindJobProcess({job["id"].get<std::string>()})->pid;
  }
  bool IsRunning(const std::string& vm) { return !JobsOf(vm, "InProgress").empty(); }
  bool IsQueued(const std::string& vm) { return !JobsOf(vm, "NotStarted").empty(); }

 private:
  std::mt19937_64 random_{11};
};

std::vector<std::string> KeysOf(const Json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

TEST_F(AgentHandoverTest, ACommandPrintsWhatItWouldByItself) {
  AddVm("web", 1, "slow");
  Change("web");
  const Json by_itself = cli.Json("replicate web");
  const auto agent = StartAgent();
  cli.Json("pause web");
  Change("web");
  const Json handed = cli.Json("replicate web");
  EXPECT_EQ(ProcessOf(handed["job"]), agent->pid());
  EXPECT_EQ(KeysOf(handed), KeysOf(by_itself));
  EXPECT_EQ(KeysOf(handed["point"]), KeysOf(by_itself["point"]));
  EXPECT_EQ(handed["point"]["id"], cli.Json("points list web")[0]["id"]);
  EXPECT_EQ(handed["job"]["state"], "Succeeded");
  EXPECT_GT(handed["job"]["stats"]["bytesSent"], 0);

  const Json compared = cli.Json("resync web --now");
  EXPECT_EQ(compared["type"], "Resync");
  EXPECT_EQ(ProcessOf(compared), agent->pid());
  AddVm("new", 1, "");
  const Json enabled = cli.Json("enable new --policy slow");
  EXPECT_EQ(enabled["type"], "EnableProtection");
  EXPECT_EQ(ProcessOf(enabled), agent->pid());
  EXPECT_EQ(cli.Json("items show new")["protectionState"], "Protected");

  const CommandResult table = cli.Run("replicate web");
  EXPECT_THAT(table.out, HasSubstr(cli.Json("points list web")[0]["id"].get<std::string>()));
}

TEST_F(AgentHandoverTest, WhatItsRunWarnsOfIsSaidByBoth) {
  AddVm("web", 1, "slow");
  const auto agent = StartAgent();
  cli.Json("pause web");
  std::filesystem::resize_file(cli.Path("vms/web/root.raw"), 2 * kMiB);
  const CommandResult replicated = cli.Run("replicate web -o json");
  EXPECT_EQ(replicated.exit_code, 0);
  EXPECT_THAT(replicated.ErrJson()["warning"]["message"].get<std::string>(),
              HasSubstr("has grown from"));
  EXPECT_THAT(Log(), HasSubstr("has grown from"));
}

TEST_F(AgentHandoverTest, AFailureIsThatOfTheCommand) {
  AddVm("web", 1, "slow");
  std::filesystem::rename(cli.Path("vms/web"), cli.Path("away"));
  const CommandResult by_itself = cli.Run("replicate web -o json");
  EXPECT_NE(by_itself.exit_code, 0);
  const auto agent = StartAgent();
  cli.Json("pause web");
  const CommandResult handed = cli.Run("replicate web -o json");
  EXPECT_EQ(handed.exit_code, by_itself.exit_code);
  EXPECT_EQ(handed.ErrJson()["error"]["code"], by_itself.ErrJson()["error"]["code"]);
  EXPECT_EQ(handed.ErrJson()["error"]["message"], by_itself.ErrJson()["error"]["message"]);
}

// It would not say how a job ended.
TEST_F(AgentHandoverTest, AnAgentOfAnOlderVersionIsLeftAlone) {
  AddVm("web", 1, "slow");
  const auto agent = StartAgent();
  cli.Json("pause web");
  const auto state = StateDatabase::Open(PosixFileSystem(), SystemClock(), cli.Path("state"));
  ASSERT_TRUE((*state)->SetSetting("agent.notes-outputs", ""));
  EXPECT_NE(ProcessOf(cli.Json("replicate web")["job"]), agent->pid());
}

TEST_F(AgentHandoverTest, OtherAccessThanTheJobsIsThatOfTheCommand) {
  AddVm("web", 1, "slow");
  std::filesystem::rename(cli.Path("vms/web"), cli.Path("away"));
  EXPECT_NE(cli.Run("replicate web").exit_code, 0);
  std::filesystem::rename(cli.Path("away"), cli.Path("vms/web"));
  const std::string failed = JobsOf("web", "Failed")[0]["id"];
  cli.WriteFile("ca.pem", cli.ReadFile("/etc/ssl/certs/ca-certificates.crt"));
  const auto agent = StartAgent();
  cli.Json("pause web");
  const Json handed = cli.Json("jobs retry " + failed);
  EXPECT_EQ(ProcessOf(handed["job"]), agent->pid());
  const Json own = cli.Json("jobs retry " + failed + " --ca-file {dir}/ca.pem");
  EXPECT_NE(ProcessOf(own["job"]), agent->pid());
}

TEST_F(AgentHandoverTest, SeedsAreReadByWhoNamedThem) {
  AddVm("web", 1, "");
  std::filesystem::copy(cli.Path("vms/web/root.raw"), cli.Path("seed.raw"));
  const auto agent = StartAgent();
  const Json enabled = cli.Json("enable web --policy slow --seed {dir}/seed.raw");
  EXPECT_NE(ProcessOf(enabled), agent->pid());
  EXPECT_EQ(enabled["stats"]["bytesSeeded"], kMiB);
}

TEST_F(AgentHandoverTest, ItsLimitsHoldForCommands) {
  for (const char* name : {"one", "two", "three"}) AddSlowVm(name);
  cli.Json("throttle set --work-mbps 200 --other-mbps 200");
  cli.Json("config set agent.max-jobs 1");
  const auto agent = StartAgent();
  const double begun = SystemClock().MonotonicSeconds();
  std::vector<std::unique_ptr<AsrProcess>> commands;
  for (const char* name : {"one", "two", "three"}) commands.push_back(Start({"replicate", name}));
  std::size_t most = 0;
  while (!std::ranges::all_of(commands, [](const auto& command) { return command->HasEnded(); })) {
    most = std::max(most, cli.Json("jobs list --state InProgress").size());
    SystemClock().SleepSeconds(0.1);
  }
  EXPECT_EQ(most, 1U);
  for (const auto& command : commands) EXPECT_EQ(command->Wait(), 0) << Log();
  // 150 MiB at 200 Mbit/s.
  EXPECT_GT(SystemClock().MonotonicSeconds() - begun, 5);
}

TEST_F(AgentHandoverTest, AQueueOfFirstReplicationsLeavesCyclesAPlace) {
  AddVm("near");
  for (int i = 0; i < 5; ++i) AddVm(fmt::format("far{}", i), 8, "");
  cli.Json("throttle set --work-mbps 8 --other-mbps 8");  // 40 MiB take 40 s
  cli.Json("config set agent.max-jobs-per-host 4");
  const auto agent = StartAgent();
  for (int i = 0; i < 5; ++i) cli.Json(fmt::format("enable far{} --policy slow --no-wait", i));
  ASSERT_TRUE(BecomesTrue([&] { return cli.Json("jobs list --state InProgress").size() >= 3; }))
      << Log();
  // Its cycle has begun, and shares the line; its first job was that of its enable.
  EXPECT_TRUE(BecomesTrue([&] { return cli.Json("jobs list --item near").size() > 1; }, 10))
      << Log();
  EXPECT_FALSE(cli.Json("jobs list --state NotStarted").empty());
}

TEST_F(AgentHandoverTest, CtrlCLeavesTheJobToTheAgent) {
  AddSlowVm("web");
  const auto agent = StartAgent();
  const auto command = Start({"replicate", "web"});
  ASSERT_TRUE(BecomesTrue([&] { return IsRunning("web"); })) << Log();
  command->Signal(SIGINT);
  EXPECT_EQ(command->Wait(), 130);
  EXPECT_TRUE(IsRunning("web"));
  const std::string id = JobsOf("web", "InProgress")[0]["id"];
  EXPECT_THAT(cli.ReadFile(cli.Path("said")), HasSubstr("asr jobs watch " + id));
  EXPECT_EQ(cli.Json("jobs cancel " + id)["state"], "Cancelled");
}

TEST_F(AgentHandoverTest, ACancelledJobEndsItsCommand) {
  AddSlowVm("web");
  const auto agent = StartAgent();
  const auto running = Start({"replicate", "web"});
  ASSERT_TRUE(BecomesTrue([&] { return IsRunning("web"); })) << Log();
  const auto waiting = Start({"resync", "web", "--now"});
  ASSERT_TRUE(BecomesTrue([&] { return IsQueued("web"); })) << Log();
  const std::string queued = JobsOf("web", "NotStarted")[0]["id"];
  EXPECT_EQ(cli.Json("jobs cancel " + queued)["state"], "Cancelled");
  EXPECT_NE(waiting->Wait(), 0);
  EXPECT_FALSE(running->HasEnded());
  const std::string id = JobsOf("web", "InProgress")[0]["id"];
  EXPECT_EQ(cli.Json("jobs cancel " + id)["state"], "Cancelled");
  EXPECT_NE(running->Wait(), 0);
  EXPECT_EQ(Status()["running"], true);
}

// On the worst day of the year nobody waits for an agent that is not there.
TEST_F(AgentHandoverTest, WhatAKilledAgentDidNotBeginIsDoneByTheCommand) {
  AddSlowVm("web");
  const auto agent = StartAgent();
  const Json first = cli.Json("replicate web --no-wait");
  ASSERT_TRUE(BecomesTrue([&] { return IsRunning("web"); })) << Log();
  const auto command = Start({"replicate", "web", "-o", "json"});
  ASSERT_TRUE(BecomesTrue([&] { return IsQueued("web"); })) << Log();
  EXPECT_TRUE(agent->Kill());
  cli.Json("throttle clear");
  const int exit_code = command->Wait();
  const std::string said = cli.ReadFile(cli.Path("said"));
  ASSERT_EQ(exit_code, 0) << said;
  const Json replicated = Json::parse(said);
  EXPECT_EQ(ProcessOf(replicated["job"]), command->pid());
  EXPECT_EQ(replicated["point"]["id"], cli.Json("points list web")[0]["id"]);
  EXPECT_FALSE(IsQueued("web"));
  EXPECT_EQ(cli.Json("jobs show " + first["id"].get<std::string>())["state"], "Failed");
}

TEST_F(AgentHandoverTest, WhatWasCutWithItsAgentIsFinishedByTheCommand) {
  AddSlowVm("web");
  auto agent = StartAgent();
  const auto command = Start({"replicate", "web", "-o", "json"});
  ASSERT_TRUE(BecomesTrue([&] { return IsRunning("web"); })) << Log();
  EXPECT_TRUE(agent->Kill());
  cli.Json("throttle clear");
  const int exit_code = command->Wait();
  const std::string said = cli.ReadFile(cli.Path("said"));
  ASSERT_EQ(exit_code, 0) << said;
  EXPECT_EQ(ProcessOf(Json::parse(said)["job"]), command->pid());
  EXPECT_EQ(PointsOf("web"), 2U);
  // The next agent has nothing to take up.
  agent = StartAgent();
  SystemClock().SleepSeconds(1.5);
  EXPECT_EQ(cli.Json("jobs list --item web").size(), 3U);
}

TEST_F(AgentHandoverTest, WhatAnAgentPutBackWhenItStoppedIsDoneByTheCommand) {
  AddSlowVm("web");
  const auto agent = StartAgent();
  const auto command = Start({"replicate", "web", "-o", "json"});
  ASSERT_TRUE(BecomesTrue([&] { return IsRunning("web"); })) << Log();
  agent->Signal(SIGTERM);
  EXPECT_EQ(agent->Wait(), 0) << Log();
  cli.Json("throttle clear");
  const int exit_code = command->Wait();
  const std::string said = cli.ReadFile(cli.Path("said"));
  ASSERT_EQ(exit_code, 0) << said;
  EXPECT_EQ(ProcessOf(Json::parse(said)["job"]), command->pid());
  EXPECT_FALSE(IsQueued("web"));
  EXPECT_EQ(PointsOf("web"), 2U);
}

}  // namespace
}  // namespace asr::testing
