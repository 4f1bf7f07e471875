// A real agent on a folder host: schedules, hand-over, stops, kills, a vault that cannot be
// reached.
#include <array>
#include <cstdlib>
#include <utility>

#include <gmock/gmock.h>

#include "tests/cli/agent_fixture.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
TEST_F(AgentTest, TenVmsEveryFiveSecondsMissNoCycle) {
  for (int i = 0; i < 10; ++i) AddVm(fmt::format("vm{}", i));
  const auto agent = StartAgent({"--metrics-file", cli.Path("asr.prom")});
  // Each writes as soon as it has a new point, and not while its disk is read.
  std::array<std::size_t, 10> seen{};
  for (int round = 0; round < 100; ++round) {
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const std::string name = fmt::format("vm{}", i);
      const std::size_t points = PointsOf(name);
      if (std::exchange(seen[i], points) != points) Change(name);
    }
    SystemClock().SleepSeconds(0.2);
  }
  const Json status = Status();
  ASSERT_EQ(status["items"].size(), 10U);
  for (const Json& item : status["items"]) {
    EXPECT_EQ(item["missedCycles"], 0) << item;
    EXPECT_TRUE(item["retry"].is_null()) << item;
    const std::string name = item["name"];
    EXPECT_GE(JobsOf(name, "Succeeded").size(), 4U) << name;  // the first is enable's
    EXPECT_EQ(JobsOf(name, "Failed").size(), 0U) << name;
    EXPECT_GE(PointsOf(name), 4U) << name;
    EXPECT_LE(cli.Json("items show " + name)["rpoSeconds"], 12);
  }
  const std::string metrics = cli.ReadFile(cli.Path("asr.prom"));
  EXPECT_THAT(metrics, HasSubstr("asr_agent_items 10\n"));
  EXPECT_THAT(metrics, HasSubstr("asr_item_cycles_total{vault=\"main\",vm=\"vm7\""));
  agent->Signal(SIGTERM);
  EXPECT_EQ(agent->Wait(), 0) << Log();
  EXPECT_EQ(cli.Run("agent status").exit_code, 4);
}

TEST_F(AgentTest, OneAgentAState) {
  const auto agent = StartAgent();
  const CommandResult second = cli.Run("agent run -o json");
  EXPECT_EQ(second.exit_code, 4);
  EXPECT_EQ(second.ErrJson()["error"]["code"], "ASR5006");
  EXPECT_THAT(second.err, HasSubstr(fmt::format("pid {}", agent->pid())));
}

TEST_F(AgentTest, KilledItGoesOnWhenItIsStartedAgain) {
  AddVm("web");
  auto agent = StartAgent();
  Change("web");
  ASSERT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 2; })) << Log();
  EXPECT_TRUE(agent->Kill());
  EXPECT_EQ(Status()["running"], false);
  agent = StartAgent();
  Change("web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 3; })) << Log();
  EXPECT_EQ(StatusOf("web")["missedCycles"], 0);
}

TEST_F(AgentTest, AStopEndsACycleSoonAndResumable) {
  AddBusyVm("big", 64);
  cli.Json("throttle set --work-mbps 40 --other-mbps 40");  // that takes 13 s
  const auto agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return !JobsOf("big", "InProgress").empty(); })) << Log();
  const double begun = SystemClock().MonotonicSeconds();
  agent->Signal(SIGTERM);
  EXPECT_EQ(agent->Wait(), 0) << Log();
  EXPECT_LT(SystemClock().MonotonicSeconds() - begun, 5);
  const Json job = cli.Json("jobs list --item big")[0];
  EXPECT_EQ(job["state"], "Cancelled") << job;
  EXPECT_EQ(job["retryable"], true);
  cli.Json("throttle clear");
  EXPECT_EQ(cli.Run("jobs resume " + job["id"].get<std::string>()).exit_code, 0);
}

TEST_F(AgentTest, AVaultThatCannotBeReachedStopsNoOther) {
  cli.Json("vault create bad --target {dir}/bad");
  cli.Json("policy set fast --frequency 5s --retention 10m --vault bad");
  AddVm("lost", 1, "");
  cli.Json("enable lost --policy fast --vault bad");
  AddVm("web");
  std::filesystem::rename(cli.Path("bad"), cli.Path("away"));
  const auto agent = StartAgent();
  Change("web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 2; })) << Log();
  EXPECT_THAT(Log(), HasSubstr("WARNING bad: the vault cannot be looked at"));
  // It comes back: found out by itself, or when told.
  std::filesystem::rename(cli.Path("away"), cli.Path("bad"));
  agent->Signal(SIGHUP);
  EXPECT_TRUE(BecomesTrue([&] { return !StatusOf("lost").is_null(); })) << Log();
  EXPECT_THAT(Log(), HasSubstr("bad: the vault can be reached again"));
}

TEST_F(AgentTest, FailuresAreRetriedLaterShownAndResetByResume) {
  AddVm("web");
  const auto agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return !StatusOf("web").is_null(); }));
  std::filesystem::rename(cli.Path("vms/web"), cli.Path("gone"));
  ASSERT_TRUE(BecomesTrue([&] { return StatusOf("web")["retry"].is_object(); })) << Log();
  const Json item = cli.Json("items show web");
  EXPECT_EQ(item["replicationHealth"], "Warning");
  EXPECT_EQ(item["retry"]["attempt"], 1);
  EXPECT_EQ(item["retry"]["recoverable"], true);
  EXPECT_THAT(item["healthErrors"][0]["message"].get<std::string>(), HasSubstr("attempt 1"));
  std::filesystem::rename(cli.Path("gone"), cli.Path("vms/web"));
  Change("web");
  cli.Json("resume web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 2; })) << Log();
  EXPECT_TRUE(StatusOf("web")["retry"].is_null());
}

TEST_F(AgentTest, PausedVmsAreLeftAloneUntilTheyAreResumed) {
  AddVm("web");
  const auto agent = StartAgent();
  const Json paused = cli.Json("pause web");
  EXPECT_FALSE(paused["pausedSince"].is_null());
  EXPECT_EQ(paused["replicationHealth"], "Warning");
  ASSERT_TRUE(BecomesTrue([&] { return JobsOf("web", "InProgress").empty(); }));
  Change("web");
  const std::size_t before = PointsOf("web");
  SystemClock().SleepSeconds(7);
  EXPECT_EQ(PointsOf("web"), before);
  EXPECT_TRUE(StatusOf("web")["nextStart"].is_null());
  EXPECT_TRUE(cli.Json("resume web")["pausedSince"].is_null());
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") > before; }, 3)) << Log();
}

TEST_F(AgentTest, CommandsLeaveWorkToItAndFollowIt) {
  cli.Json("policy set slow --frequency 1h --retention 24h");
  AddVm("web", 1, "slow");
  AddVm("new", 1, "");
  const auto agent = StartAgent();
  // What is wrong is said at once.
  EXPECT_EQ(cli.Run("replicate nobody --no-wait").exit_code, 3);
  EXPECT_EQ(cli.Run("enable new --policy nope --no-wait").exit_code, 3);
  EXPECT_EQ(cli.Run("disable web -y --no-wait").exit_code, 4);

  const Json queued = cli.Json("enable new --policy slow --no-wait");
  EXPECT_EQ(queued["state"], "NotStarted");
  const Json done = cli.Json("jobs watch " + queued["id"].get<std::string>());
  EXPECT_EQ(done["state"], "Succeeded");
  EXPECT_EQ(done["type"], "EnableProtection");
  EXPECT_EQ(cli.Json("items show new")["protectionState"], "Protected");

  cli.Json("pause web");  // so that no cycle of its own comes between
  Change("web");
  for (const char* line : {"replicate web --no-wait", "resync web --now --no-wait"}) {
    const std::size_t before = PointsOf("web");
    const Json job = cli.Json(line);
    EXPECT_EQ(cli.Json("jobs watch " + job["id"].get<std::string>())["state"], "Succeeded") << line;
    EXPECT_EQ(PointsOf("web"), before + 1) << line;
  }
  // A person's own replication waits for the agent's.
  AddBusyVm("busy", 96, "slow");
  cli.Json("pause busy");
  const Json long_job = cli.Json("replicate busy --no-wait");
  ASSERT_TRUE(BecomesTrue([&] { return !JobsOf("busy", "InProgress").empty(); })) << Log();
  EXPECT_EQ(cli.Json("replicate busy")["job"]["state"], "Succeeded");
  EXPECT_EQ(cli.Json("jobs show " + long_job["id"].get<std::string>())["state"], "Succeeded");
}

TEST_F(AgentTest, ACancelledJobLeavesTheAgentRunning) {
  AddBusyVm("big", 64);
  cli.Json("throttle set --work-mbps 40 --other-mbps 40");  // that takes 13 s
  const auto agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return !JobsOf("big", "InProgress").empty(); })) << Log();
  const Json job = JobsOf("big", "InProgress")[0];
  const CommandResult cancelled =
      cli.Run("jobs cancel " + job["id"].get<std::string>() + " -o json");
  EXPECT_EQ(cancelled.exit_code, 0) << cancelled.err;
  EXPECT_EQ(cancelled.OutJson()["state"], "Cancelled");
  EXPECT_EQ(Status()["running"], true);
}

TEST_F(AgentTest, ACancelDoesNotWaitForASlowLine) {
  AddBusyVm("big", 32);
  cli.Json("throttle set --work-mbps 1 --other-mbps 1");  // a chunk takes half a minute
  const auto agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return !JobsOf("big", "InProgress").empty(); })) << Log();
  const std::string id = JobsOf("big", "InProgress")[0]["id"];
  SystemClock().SleepSeconds(2);
  const double begun = SystemClock().MonotonicSeconds();
  EXPECT_EQ(cli.Json("jobs cancel " + id)["state"], "Cancelled");
  EXPECT_LT(SystemClock().MonotonicSeconds() - begun, 5) << Log();
  // Nor does the sign of life stand in line behind what is sent.
  EXPECT_FALSE(std::filesystem::is_empty(cli.Path("vault/agents")));
}

TEST_F(AgentTest, NoMoreIsSentThanTheLineMayCarry) {
  const Json set = cli.Json("throttle set --work-hours 8:00-9:00 --work-mbps 8 --other-mbps 8");
  EXPECT_EQ(set["currentMbps"], 8);
  EXPECT_EQ(cli.Json("throttle show"), set);
  AddVm("web", 4, "");
  const auto seconds_of = [&](const std::string& line) {
    const double begun = SystemClock().MonotonicSeconds();
    cli.Json(line);
    return SystemClock().MonotonicSeconds() - begun;
  };
  // 4 MiB at a megabyte a second; half a second's worth may go ahead, and what is last need not
  // wait for its own end.
  EXPECT_GT(seconds_of("enable web --policy fast"), 2.5);
  EXPECT_TRUE(cli.Json("throttle clear")["otherMbps"].is_null());
  AddVm("web", 4, "");
  EXPECT_LT(seconds_of("replicate web"), 2.5);
}

TEST_F(AgentTest, TheUnitRunsThisProgramOnThisState) {
  std::filesystem::create_directories(cli.Path("units"));
  cli.program = ASR_BINARY;
  const std::string dry = cli.Run("agent install --unit-dir {dir}/units --dry-run").out;
  EXPECT_FALSE(std::filesystem::exists(cli.Path("units/asr-agent.service")));
  const Json installed = cli.Json("agent install --unit-dir {dir}/units");
  const std::string text = cli.ReadFile(cli.Path("units/asr-agent.service"));
  EXPECT_EQ(text, dry);
  EXPECT_EQ(installed["unit"], text);
  EXPECT_THAT(text, HasSubstr(fmt::format("ExecStart=\"{}\" --state-dir \"{}\" agent run\n",
                                          ASR_BINARY, cli.Path("state"))));
  EXPECT_EQ(cli.Run("agent install --unit-dir {dir}/nowhere").exit_code, 3);
  if (!std::filesystem::exists("/usr/bin/systemd-analyze")) return;  // systems without systemd
  const std::string verify =
      fmt::format("/usr/bin/systemd-analyze verify --man=no {} 2>&1 | grep {}",
                  cli.Path("units/asr-agent.service"), "asr-agent");
  EXPECT_NE(std::system(verify.c_str()), 0) << "it found something to say of the unit";
}

}  // namespace
}  // namespace asr::testing
