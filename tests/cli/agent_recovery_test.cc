// Agents that are killed, vaults that are not there, machines that are not the only one.
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include <gmock/gmock.h>

#include "tests/cli/agent_fixture.h"
#include "tests/support/shell_command.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AgentRecoveryTest : public AgentTest {
 protected:
  Json JobWithId(const std::string& id) { return cli.Json("jobs show " + id); }
  std::string QueueSlowEnable(const std::string& name) {
    AddVm(name, 32, "");
    return cli.Json("enable " + name + " --policy fast --no-wait")["id"];
  }
  bool IsSending(const std::string& id) {
    const Json job = JobWithId(id);
    if (job["state"] != "InProgress") return false;
    return std::ranges::any_of(job["tasks"],
                               [](const Json& task) { return task["bytesDone"] > 0; });
  }
};

TEST_F(AgentRecoveryTest, AQueuedEnableThatWasCutIsTakenUpAgain) {
  for (const int signal : {SIGKILL, SIGTERM}) {
    cli.Json("throttle set --work-mbps 80 --other-mbps 80");  // it takes three seconds
    auto agent = StartAgent();
    const std::string name = "vm" + std::to_string(signal);
    const std::string id = QueueSlowEnable(name);
    ASSERT_TRUE(BecomesTrue([&] { return IsSending(id); })) << JobWithId(id) << Log();
    agent->Signal(signal);
    static_cast<void>(agent->Wait());
    EXPECT_NE(cli.Json("items show " + name)["protectionState"], "Protected")
        << JobWithId(id) << Log();
    cli.Json("throttle clear");
    agent = StartAgent();
    ASSERT_TRUE(BecomesTrue([&] { return JobWithId(id)["state"] == "Succeeded"; }))
        << JobWithId(id) << Log();
    EXPECT_EQ(cli.Json("items show " + name)["protectionState"], "Protected");
    EXPECT_GE(PointsOf(name), 1U);
    // It is the same job, once; and what follows are cycles.
    EXPECT_EQ(cli.Json("items list").size(), signal == SIGKILL ? 1U : 2U);
    Change(name);
    EXPECT_TRUE(BecomesTrue([&] { return PointsOf(name) >= 2; })) << Log();
    EXPECT_EQ(cli.Run("points verify " + name).exit_code, 0);
  }
}

TEST_F(AgentRecoveryTest, ItemsOfAnotherMachineAreLeftAlone) {
  AddVm("web");
  // The same vault, and a host of the same name with a VM of the same name.
  const std::string here = cli.variables["ASR_STATE_DIR"];
  std::filesystem::copy(cli.Path("vms"), cli.Path("vms2"),
                        std::filesystem::copy_options::recursive);
  cli.variables["ASR_STATE_DIR"] = cli.Path("state2");
  cli.Json("vault connect main --target {dir}/vault");
  cli.Json("host add lab --kind folder --path {dir}/vms2");
  AsrProcess other({"agent", "run", "--state-dir", cli.Path("state2")}, cli.Path("log2"));
  const auto log = [&] { return cli.ReadFile(cli.Path("log2")); };
  EXPECT_TRUE(BecomesTrue([&] {
    return std::filesystem::exists(cli.Path("log2")) &&
           log().find("this machine has not replicated it yet") != std::string::npos;
  })) << log();
  SystemClock().SleepSeconds(7);  // more than a period
  EXPECT_TRUE(Status()["items"].empty()) << Status();
  EXPECT_EQ(PointsOf("web"), 1U);
  // To take it over is a person's decision.
  cli.Json("replicate web");
  other.Signal(SIGHUP);
  EXPECT_TRUE(BecomesTrue([&] { return !StatusOf("web").is_null(); })) << log();
  cli.variables["ASR_STATE_DIR"] = here;
}

TEST_F(AgentRecoveryTest, AnEmptyMountPointIsNoEmptyVault) {
  AddVm("web");
  const auto agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return !StatusOf("web").is_null(); })) << Log();
  std::filesystem::rename(cli.Path("vault"), cli.Path("elsewhere"));
  std::filesystem::create_directory(cli.Path("vault"));
  agent->Signal(SIGHUP);
  EXPECT_TRUE(BecomesTrue([&] {
    return Log().find("main: the vault cannot be looked at") != std::string::npos;
  })) << Log();
  ASSERT_TRUE(BecomesTrue([&] { return StatusOf("web")["retry"].is_object(); })) << Status();
  EXPECT_EQ(RunShell("find " + cli.Path("vault") + " -mindepth 1").text, "");
  EXPECT_THAT(Log(), Not(HasSubstr("it is not replicated any more")));
  std::filesystem::remove_all(cli.Path("vault"));
  std::filesystem::rename(cli.Path("elsewhere"), cli.Path("vault"));
  agent->Signal(SIGHUP);
  Change("web");
  cli.Json("resume web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 2; })) << Log();
}

TEST_F(AgentRecoveryTest, OneVmInTwoVaultsIsReplicatedIntoBoth) {
  AddVm("web");
  cli.Json("vault create second --target {dir}/second");
  cli.Json("policy set fast --frequency 5s --retention 10m --vault second");
  cli.Json("enable web --policy fast --vault second");
  const auto agent = StartAgent();
  const auto points = [&](const std::string& vault) {
    return cli.Json("points list web --vault " + vault).size();
  };
  for (std::size_t wanted = 2; wanted <= 4; ++wanted) {
    Change("web");
    EXPECT_TRUE(BecomesTrue([&] { return points("main") >= wanted && points("second") >= wanted; }))
        << Log();
  }
  const Json status = Status();
  EXPECT_EQ(status["items"].size(), 2U);
  for (const Json& item : status["items"]) EXPECT_EQ(item["missedCycles"], 0) << item;
  EXPECT_EQ(cli.Json("jobs list --state Failed").size(), 0U);
  for (const char* vault : {"main", "second"}) {
    EXPECT_EQ(cli.Run(std::string("points verify web --vault ") + vault).exit_code, 0);
    cli.Json(std::string("restore web --to {dir}/restored-") + vault + " --vault " + vault);
    EXPECT_EQ(RunShell(fmt::format("cmp {} {}", cli.Path("vms/web/root.raw"),
                                   cli.Path(std::string("restored-") + vault + "/root.raw")))
                  .text,
              "");
  }
}

TEST_F(AgentRecoveryTest, KilledAgainAndAgainItLosesNoPointAndLeavesNoLock) {
  constexpr int kKills = 14;
  const std::vector<std::string> vms = {"a", "b", "c"};
  for (const std::string& vm : vms) AddVm(vm, 4);
  std::map<std::string, std::set<std::string>> seen;
  const auto look = [&] {
    for (const std::string& vm : vms) {
      std::set<std::string> now;
      for (const Json& point : cli.Json("points list " + vm)) now.insert(point["id"]);
      for (const std::string& point : seen[vm]) EXPECT_TRUE(now.contains(point)) << vm << point;
      seen[vm] = now;
    }
  };
  look();
  // Without it a cycle is over before it can be hit.
  cli.Json("throttle set --work-mbps 8 --other-mbps 8");
  int in_the_middle = 0;
  for (int i = 0; i < kKills; ++i) {
    const auto agent = StartAgent();
    for (const std::string& vm : vms) {
      for (int block = 0; block < 12; ++block) Change(vm);
      cli.Json("resume " + vm);  // a cycle at once
    }
    const auto runs = [&] { return !cli.Json("jobs list --state InProgress").empty(); };
    BecomesTrue(runs, 10);
    SystemClock().SleepSeconds(0.06 * i);
    if (runs()) ++in_the_middle;
    EXPECT_TRUE(agent->Kill());
    look();
  }
  EXPECT_GE(in_the_middle, 5);
  cli.Json("throttle clear");
  const auto agent = StartAgent();
  for (const std::string& vm : vms) {
    Change(vm);
    cli.Json("resume " + vm);
    EXPECT_TRUE(BecomesTrue([&] { return cli.Json("points list " + vm).size() > seen[vm].size(); }))
        << vm << Log();
  }
  look();
  agent->Signal(SIGTERM);
  EXPECT_EQ(agent->Wait(), 0) << Log();
  for (const std::string& vm : vms) {
    // Nobody holds it any more, and nothing that was cut makes it wrong.
    const CommandResult replicated = cli.Run("replicate " + vm);
    EXPECT_EQ(replicated.exit_code, 0) << replicated.err;
    EXPECT_EQ(cli.Run("points verify " + vm).exit_code, 0);
    cli.Json("restore " + vm + " --to {dir}/restored-" + vm);
    EXPECT_EQ(RunShell(fmt::format("cmp {} {}", cli.Path("vms/" + vm + "/root.raw"),
                                   cli.Path("restored-" + vm + "/root.raw")))
                  .text,
              "");
    EXPECT_EQ(RunShell("find " + cli.Path("vms/" + vm) + " -name '*.hrl*'").text, "");
  }
  EXPECT_EQ(cli.Run("vault check").exit_code, 0) << cli.Run("vault check").out;
  EXPECT_EQ(cli.Json("jobs list --state InProgress").size(), 0U);
}

TEST_F(AgentRecoveryTest, ADamagedPolicyConcernsItsOwnVmsAlone) {
  AddVm("web");
  cli.Json("policy set other --frequency 5s --retention 10m");
  AddVm("db", 1, "other");
  const std::string policy = cli.Path("vault/policies/other.json");
  const std::string good = cli.ReadFile(policy);
  cli.WriteFile("vault/policies/other.json", "{}");
  const auto agent = StartAgent();
  Change("web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 2; })) << Log();
  EXPECT_THAT(Log(), HasSubstr("policy other cannot be read"));
  EXPECT_EQ(cli.Json("items show db")["replicationHealth"], "Critical");
  EXPECT_EQ(cli.Json("items show web")["replicationHealth"], "Normal");
  // Lists have all others, and name it.
  for (const char* line : {"policy list", "vault show main"}) {
    const CommandResult list = cli.Run(line);
    EXPECT_EQ(list.exit_code, 0) << list.err;
    EXPECT_THAT(list.out, HasSubstr("fast")) << line;
    EXPECT_THAT(list.err, HasSubstr("policies/other.json")) << line;
  }
  cli.WriteFile("vault/policies/other.json", good);
  agent->Signal(SIGHUP);
  Change("db");
  cli.Json("resume db");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("db") >= 2; })) << Log();
}

TEST_F(AgentRecoveryTest, APolicysDelaysRuleTheRetries) {
  cli.Json("policy set fast --retry-delays 1s,2s");
  AddVm("web");
  const auto agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return !StatusOf("web").is_null(); }));
  std::filesystem::rename(cli.Path("vms/web"), cli.Path("gone"));
  EXPECT_TRUE(BecomesTrue(
      [&] {
        const Json retry = StatusOf("web")["retry"];
        return retry.is_object() && retry["attempt"] >= 4;
      },
      20))
      << Status();
  std::filesystem::rename(cli.Path("gone"), cli.Path("vms/web"));
  Change("web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") >= 2; }, 10)) << Log();
  EXPECT_TRUE(BecomesTrue([&] { return StatusOf("web")["retry"].is_null(); })) << Status();
}

}  // namespace
}  // namespace asr::testing
