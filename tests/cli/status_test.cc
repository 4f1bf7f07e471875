// The vault as a whole (`asr status`), waiting for a VM (`asr wait`), and programs over results
// (--jq).
#include <chrono>
#include <filesystem>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cli_runner.h"

namespace asr::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Json = nlohmann::ordered_json;

class StatusTest : public ::testing::Test {
 protected:
  void SetUp() override { cli.SetUpLab(); }
  CliRunner cli;
};

TEST_F(StatusTest, OfAnEmptyVaultIsNormal) {
  const Json status = cli.Json("status");
  EXPECT_EQ(status["health"], "Normal");
  EXPECT_EQ(status["itemCounts"]["total"], 0);
  EXPECT_TRUE(status["worstRpoSeconds"].is_null());
  EXPECT_EQ(cli.Run("status --fail-on warning").exit_code, 0);
}

TEST_F(StatusTest, CountsVmsAndTellsTheWorstRpo) {
  cli.Json("enable web --policy gold");
  const Json status = cli.Json("status");
  EXPECT_EQ(status["health"], "Normal");
  EXPECT_EQ(status["itemCounts"],
            Json::parse(R"({"total":1,"normal":1,"warning":0,"critical":0})"));
  EXPECT_TRUE(status["worstRpoSeconds"].is_number());
  EXPECT_EQ(status["items"][0]["name"], "web");
  EXPECT_THAT(status["attention"], IsEmpty());
}

TEST_F(StatusTest, TellsOfAFailedReplicationAndFailsAsAsked) {
  cli.Json("enable web --policy gold");
  std::filesystem::resize_file(cli.Path("vms/web/root.raw"), 1);
  EXPECT_EQ(cli.Run("replicate web").exit_code, 4);
  const Json status = cli.Json("status");
  ASSERT_NE(status["health"], "Normal") << status.dump(2);
  EXPECT_EQ(status["attention"][0]["item"], "web");
  EXPECT_NE(status["attention"][0]["message"], "");
  const CommandResult failed = cli.Run("status --fail-on warning");
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, AllOf(HasSubstr("ERROR ASR9004"), HasSubstr("VM web")));
  EXPECT_THAT(failed.out, HasSubstr("Needs attention"));
}

TEST_F(StatusTest, ADamagedDocumentIsCriticalAndHidesNoOther) {
  cli.Json("enable web --policy gold");
  std::filesystem::create_directories(cli.Path("vault/items/other-0123abcd"));
  cli.WriteFile("vault/items/other-0123abcd/item.json", "{}");
  const Json status = cli.Json("status");
  EXPECT_EQ(status["health"], "Critical");
  EXPECT_EQ(status["itemCounts"]["normal"], 1);
  EXPECT_THAT(status["attention"][0]["message"].get<std::string>(), HasSubstr("other-0123abcd"));
  EXPECT_EQ(cli.Run("status --fail-on critical").exit_code, 1);
}

TEST_F(StatusTest, AnotherLevelIsRefused) {
  const CommandResult result = cli.Run("status --fail-on critcal");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("critical"));
}

TEST_F(StatusTest, WatchEndsWhenAsked) {
  std::thread asker([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds{300});
    cli.stop.request_stop();
  });
  const CommandResult result = cli.Run("status --watch -o json");
  asker.join();
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_THAT(result.err, HasSubstr("vault main is not watched any more"));
  EXPECT_THAT(result.out, HasSubstr("\"health\": \"Normal\""));
}

TEST_F(StatusTest, WaitReturnsAtOnceWhatIsSo) {
  cli.Json("enable web --policy gold");
  EXPECT_EQ(cli.Json("wait web --state Protected")["name"], "web");
  EXPECT_EQ(cli.Json("wait web --rpo 1h --timeout 5s")["protectionState"], "Protected");
}

TEST_F(StatusTest, WaitSeesAVmThatGoes) {
  cli.Json("enable web --policy gold");
  std::thread other([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds{200});
    std::filesystem::remove_all(cli.Path("vault/items"));
  });
  const CommandResult result = cli.Run("wait web --state Unprotected --timeout 30s");
  other.join();
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST_F(StatusTest, WaitGivesUpInTime) {
  cli.Json("enable web --policy gold");
  const CommandResult result = cli.Run("wait web --state FailedOver --timeout 1s");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("ASR9005"), HasSubstr("it is Protected")));
}

TEST_F(StatusTest, WaitRefusesWhatItCannotWaitFor) {
  EXPECT_EQ(cli.Run("wait web").exit_code, 2);
  EXPECT_EQ(cli.Run("wait web --state Protected --rpo 5m").exit_code, 2);
  EXPECT_EQ(cli.Run("wait web --state protected").exit_code, 2);
  EXPECT_EQ(cli.Run("wait web --state Protected").exit_code, 3);
}

TEST_F(StatusTest, JqPrintsStringsAsTheyAreAndTheRestAsJson) {
  EXPECT_EQ(cli.RunWords({"vault", "list", "--jq", ".[] | .name, .isDefault, {n: .name}"}).out,
            "main\ntrue\n{\"n\":\"main\"}\n");
  EXPECT_EQ(cli.RunWords({"vm", "list", "--jq=length"}).out, "1\n");
  EXPECT_EQ(cli.RunWords({"jobs", "list", "--jq", ".[]"}).out, "");
}

TEST_F(StatusTest, JqImpliesJsonForErrorsToo) {
  const CommandResult result = cli.RunWords({"items", "show", "web", "--jq", ".name"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_TRUE(result.ErrJson().contains("error")) << result.err;
}

TEST_F(StatusTest, AJqProgramThatIsNoneIsRefusedBeforeAnythingIsDone) {
  const CommandResult result =
      cli.RunWords({"enable", "web", "--policy", "gold", "--jq", ".[ | broken"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--jq"));
  EXPECT_EQ(cli.Json("items list"), Json::array());
  EXPECT_EQ(cli.RunWords({"vault", "list", "--jq", ".", "-o", "yaml"}).exit_code, 2);
}

TEST_F(StatusTest, AJqProgramThatFailsOnTheResultIsAnErrorWithoutAResult) {
  const CommandResult result = cli.RunWords({"vault", "list", "--jq", ".[].name.first"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("ASR9003"));
}

TEST_F(StatusTest, JqProgramsStandAlone) {
  for (const char* program :
       {R"(import "a" as a; .)", R"(include "a"; .)", R"(import "./a" as a; .)"}) {
    EXPECT_EQ(cli.RunWords({"vault", "list", "--jq", program}).exit_code, 2) << program;
  }
}

TEST_F(StatusTest, AJqProgramThatHaltsWithAnErrorIsOne) {
  const CommandResult failed = cli.RunWords({"vault", "list", "--jq", R"("no vault"|halt_error)"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, HasSubstr("no vault"));
  EXPECT_EQ(cli.RunWords({"vault", "list", "--jq", "halt"}).exit_code, 0);
}

TEST_F(StatusTest, JqOverridesTheVariable) {
  cli.variables["ASR_OUTPUT"] = "yaml";
  EXPECT_THAT(cli.RunWords({"vault", "list", "--jq", ".[0].target"}).out, StartsWith("file://"));
}

}  // namespace
}  // namespace asr::testing
