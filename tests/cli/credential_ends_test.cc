// A SAS that ends while a command uses it: a person at a terminal is asked for another one, a
// program is not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/cli_runner.h"
#include "tests/support/on_terminal.h"
#include "tests/support/page_blob_server/page_blob_server.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class CredentialEndsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    AddSas("");
    cli.SetUpLab();
    cli.Json("vault create azure --target " + server.url() + "/vault --credential x");
    cli.Json("vault use azure");
    cli.Json("policy set gold");
    server.AddFault({.action = FaultAction::kExpireCredential, .operation = "PutPage", .skip = 2});
  }

  // What the person does, at another terminal.
  void AddSas(const std::string& options) {
    cli.WriteFile("sas", server.AccountSas("racwdl", std::chrono::hours(300 + added_++)));
    ASSERT_EQ(::chmod(cli.Path("sas").c_str(), 0600), 0);
    cli.Json("credential add x --sas-file {dir}/sas " + options);
  }
  [[nodiscard]] std::vector<std::string> Enable() const {
    return {"--state-dir", cli.Path("state"), "enable", "web", "--policy", "gold"};
  }
  void ExpectRestored() {
    cli.Json("restore web --to {dir}/new");
    EXPECT_EQ(cli.ReadFile(cli.Path("new/root.raw")), cli.ReadFile(cli.Path("vms/web/root.raw")));
  }

  PageBlobServer server;
  CliRunner cli;
  int added_ = 0;
};

TEST_F(CredentialEndsTest, APersonIsAskedAndTheJobGoesOn) {
  OnTerminal asr(Enable());
  ASSERT_TRUE(asr.WaitFor("asr credential add x --sas-file FILE --replace")) << asr.shown();
  EXPECT_THAT(asr.shown(), HasSubstr("credential x is not accepted any more"));
  const auto waiting = cli.Json("jobs list --state WaitingForInput");
  ASSERT_EQ(waiting.size(), 1);
  AddSas("--replace");
  EXPECT_EQ(asr.Wait(), 0) << asr.shown();
  EXPECT_EQ(cli.Json("jobs show " + waiting[0]["id"].get<std::string>())["state"], "Succeeded");
  ExpectRestored();
}

TEST_F(CredentialEndsTest, AnInterruptEndsTheWaitAndTheJobCanBeResumed) {
  OnTerminal asr(Enable());
  ASSERT_TRUE(asr.WaitFor("asr credential add x")) << asr.shown();
  asr.Type("\x03");
  EXPECT_EQ(asr.Wait(), 130) << asr.shown();
  const auto jobs = cli.Json("jobs list");
  EXPECT_EQ(jobs[0]["state"], "Cancelled");
  AddSas("--replace");
  cli.Json("jobs resume " + jobs[0]["id"].get<std::string>());
  ExpectRestored();
}

TEST_F(CredentialEndsTest, AProgramIsToldWhatToDo) {
  const CommandResult failed = cli.Run("enable web --policy gold -o json");
  EXPECT_EQ(failed.exit_code, 4) << failed.err;
  const auto error = failed.ErrJson()["error"];
  EXPECT_EQ(error["retryable"], true);
  EXPECT_THAT(error["action"].get<std::string>(),
              HasSubstr("asr credential add x --sas-file FILE --replace"));
  EXPECT_THAT(failed.err, Not(HasSubstr("sig=")));
  EXPECT_EQ(cli.Json("jobs list --state Failed")[0]["retryable"], true);
}

}  // namespace
}  // namespace asr::testing
