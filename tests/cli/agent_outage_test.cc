// A real agent on a folder host whose vaults go away: what it knows of them meanwhile, and whom
// that holds up.
#include <sys/stat.h>

#include <map>
#include <utility>

#include <gmock/gmock.h>

#include "tests/cli/agent_fixture.h"
#include "tests/support/page_blob_server/page_blob_server.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class AgentOutageTest : public AgentTest {
 protected:
  void SetVaultAway(bool is_away) {
    const std::string here = cli.Path("vault");
    const std::string away = cli.Path("elsewhere");
    std::filesystem::rename(is_away ? here : away, is_away ? away : here);
  }
  void Stop(AsrProcess& agent) {
    agent.Signal(SIGTERM);
    EXPECT_EQ(agent.Wait(), 0) << Log();
  }
  void AddSas(const std::string& options) {
    cli.WriteFile("sas", server.AccountSas("racwdl", std::chrono::hours(300 + added_++)));
    ASSERT_EQ(::chmod(cli.Path("sas").c_str(), 0600), 0);
    cli.Json("credential add x --sas-file {dir}/sas " + options);
  }
  void CreateAzure() {
    AddSas("");
    cli.Json("vault create azure --target " + server.url() + "/vault --credential x");
    cli.Json("policy set fast --frequency 5s --retention 10m --vault azure");
  }
  void EnableInAzure(const std::string& name) {
    AddVm(name, 1, "");
    cli.Json("enable " + name + " --policy fast --vault azure");
  }
  // Nobody answers any more, nor refuses.
  void Silence() {
    server.AddFault({.action = FaultAction::kStall, .times = -1});
    server.CutConnections();
  }
  // Of VMs of the other vault, for half a minute.
  void ExpectNoMissedCycle(const std::vector<std::string>& vms) {
    std::map<std::string, std::size_t> before;
    for (const std::string& vm : vms) before[vm] = PointsOf(vm);
    std::map<std::string, std::size_t> seen;
    for (int i = 0; i < 150; ++i) {
      // Each writes as soon as it has a new point, and not while its disk is read.
      for (const std::string& vm : vms) {
        const std::size_t points = PointsOf(vm);
        if (std::exchange(seen[vm], points) != points) Change(vm);
      }
      SystemClock().SleepSeconds(0.2);
    }
    for (const std::string& vm : vms) {
      EXPECT_EQ(StatusOf(vm)["missedCycles"], 0) << vm << Status() << Log();
      EXPECT_GE(PointsOf(vm), before[vm] + 4) << vm << Log();
    }
  }

  PageBlobServer server;

 private:
  int added_ = 0;
};

TEST_F(AgentOutageTest, OneThatStartsWhileTheVaultIsAwayKnowsItsVms) {
  AddVm("web");
  AddVm("db");
  auto agent = StartAgent();
  for (const char* vm : {"web", "db"}) {
    Change(vm);
    ASSERT_TRUE(BecomesTrue([&] { return PointsOf(vm) >= 2; })) << Log();
  }
  Stop(*agent);
  cli.Json("disable db --keep-data");
  SetVaultAway(true);
  agent = StartAgent({"--metrics-file", cli.Path("asr.prom")});
  ASSERT_TRUE(BecomesTrue([&] { return StatusOf("web")["retry"].is_object(); })) << Log();
  EXPECT_NE(StatusOf("web")["replicationHealth"], "Normal");
  EXPECT_TRUE(StatusOf("db").is_null()) << Status();
  const int rpo = StatusOf("web")["rpoSeconds"];
  EXPECT_TRUE(BecomesTrue([&] { return StatusOf("web")["rpoSeconds"] > rpo + 2; })) << Status();
  EXPECT_TRUE(BecomesTrue([&] {
    return cli.ReadFile(cli.Path("asr.prom"))
               .find("asr_item_rpo_seconds{vault=\"main\",vm=\"web\"") != std::string::npos;
  }));
  const CommandResult status = cli.Run("status");
  EXPECT_NE(status.exit_code, 0);
  EXPECT_THAT(status.err, HasSubstr(", with an RPO of "));
  EXPECT_THAT(Log(), Not(HasSubstr("it is not replicated any more")));
  // By itself it goes on.
  SetVaultAway(false);
  agent->Signal(SIGHUP);
  const std::size_t points = PointsOf("web");
  Change("web");
  EXPECT_TRUE(BecomesTrue([&] { return PointsOf("web") > points; })) << Log();
  EXPECT_TRUE(BecomesTrue([&] { return StatusOf("web")["retry"].is_null(); })) << Status();
  EXPECT_EQ(StatusOf("web")["replicationHealth"], "Normal");
}

TEST_F(AgentOutageTest, AVaultThatDoesNotAnswerHoldsUpNoOther) {
  CreateAzure();
  for (int i = 0; i < 6; ++i) EnableInAzure(fmt::format("far{}", i));
  const std::vector<std::string> near = {"web", "db", "mail"};
  for (const std::string& vm : near) AddVm(vm);
  auto agent = StartAgent();
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(BecomesTrue([&] {
      return !StatusOf(fmt::format("far{}", i))["lastStart"].is_null();
    })) << Log();
  }
  Silence();
  ExpectNoMissedCycle(near);
  // Of the others one at a time may wait for an answer, for five minutes.
  const auto failing = [&] {
    const Json status = Status();
    return std::ranges::count_if(status["items"],
                                 [](const Json& item) { return item["retry"].is_object(); });
  };
  EXPECT_TRUE(BecomesTrue([&] { return failing() >= 5; }, 150)) << Status();
  agent->Kill();
  agent = StartAgent();
  ExpectNoMissedCycle(near);
  for (int i = 0; i < 6; ++i) EXPECT_FALSE(StatusOf(fmt::format("far{}", i)).is_null());
  server.ClearFaults();
  EXPECT_TRUE(BecomesTrue([&] { return failing() == 0; }, 180)) << Status() << Log();
}

TEST_F(AgentOutageTest, ACredentialThatIsRenewedIsFoundToWork) {
  CreateAzure();
  EnableInAzure("web");
  const auto agent = StartAgent();
  ASSERT_TRUE(BecomesTrue([&] { return !StatusOf("web")["lastStart"].is_null(); })) << Log();
  server.AddFault({.action = FaultAction::kExpireCredential});
  ASSERT_TRUE(BecomesTrue([&] { return StatusOf("web")["retry"].is_object(); }, 60)) << Log();
  const Json failing = StatusOf("web");
  EXPECT_EQ(failing["replicationHealth"], "Critical") << failing;
  EXPECT_EQ(failing["retry"]["recoverable"], false) << failing;
  EXPECT_TRUE(failing["nextStart"].is_null()) << failing;
  const CommandResult status = cli.Run("status --vault azure");
  EXPECT_THAT(status.err, HasSubstr("VM web is Critical"));
  AddSas("--replace");
  EXPECT_TRUE(BecomesTrue([&] { return StatusOf("web")["retry"].is_null(); }, 90)) << Log();
  EXPECT_EQ(StatusOf("web")["replicationHealth"], "Normal");
}

}  // namespace
}  // namespace asr::testing
