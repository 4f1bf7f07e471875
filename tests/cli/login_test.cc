// asr login against an Entra ID on loopback: what it says, what it keeps, and who uses it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <thread>

#include "tests/support/cli_runner.h"
#include "tests/support/fake_entra.h"
#include "tests/support/test_certificate.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LoginTest : public ::testing::Test {
 protected:
  LoginTest() {
    cli.WriteFile("ca.pem", SharedCertificate().authority_pem());
    cli.variables["AZURE_AUTHORITY_HOST"] = entra.origin();
  }
  void WriteSecret(const std::string& name, const std::string& text) {
    cli.WriteFile(name, text);
    ASSERT_EQ(::chmod(cli.Path(name).c_str(), 0600), 0);
  }
  [[nodiscard]] std::string Kept(const std::string& name = "login") const {
    return cli.ReadFile(cli.Path("state/credentials/" + name + ".json"));
  }

  FakeEntra entra{SharedCertificate()};
  CliRunner cli;
};

TEST_F(LoginTest, APersonSignsInByACode) {
  entra.Poll({"authorization_pending"});
  const CommandResult result = cli.Run("login --ca-file {dir}/ca.pem -o json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const auto told = result.ErrJson();
  EXPECT_EQ(told["signIn"]["code"], "ABCD-EFGH");
  EXPECT_EQ(told["signIn"]["url"], "https://microsoft.com/devicelogin");
  const auto json = result.OutJson();
  EXPECT_EQ(json["name"], "login");
  EXPECT_EQ(json["kind"], "login");
  EXPECT_EQ(json["user"], "ada@contoso.com");
  EXPECT_EQ(json["tenant"], "tenant-of-ada");
  EXPECT_TRUE(json["tokenExpiresAt"].is_string());
  EXPECT_THAT(result.out + result.err, Not(HasSubstr("refresh-1")));
  EXPECT_THAT(Kept(), HasSubstr("refresh-1"));
  EXPECT_THAT(Kept(), HasSubstr("tenant-of-ada"));
  struct stat status {};
  ASSERT_EQ(::stat(cli.Path("state/credentials/login.json").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  EXPECT_EQ(cli.Json("credential list")[0]["user"], "ada@contoso.com");
  const auto form = FakeEntra::Form(entra.requests().at(0));
  EXPECT_EQ(form.at("client_id"), "04b07795-8ddb-461a-bbee-02f9e1bf7b46");
}

TEST_F(LoginTest, PeopleAreToldWhereTheCodeGoesEvenWithQuiet) {
  const CommandResult result =
      cli.Run("login --quiet --name me --tenant contoso.com --client-id c1 --ca-file {dir}/ca.pem");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("https://microsoft.com/devicelogin"));
  EXPECT_THAT(result.err, HasSubstr("ABCD-EFGH"));
  EXPECT_THAT(result.out, HasSubstr("ada@contoso.com"));
  EXPECT_EQ(entra.requests().at(0).target, "/contoso.com/oauth2/v2.0/devicecode");
  EXPECT_EQ(FakeEntra::Form(entra.requests().at(0)).at("client_id"), "c1");
}

TEST_F(LoginTest, WhoDoesNotSignInLeavesNothing) {
  entra.Poll({"access_denied"});
  const CommandResult declined = cli.Run("login --ca-file {dir}/ca.pem");
  EXPECT_EQ(declined.exit_code, 4);
  EXPECT_THAT(declined.err, HasSubstr("declined"));
  entra.Poll(std::vector<std::string>(100, "authorization_pending"));
  std::jthread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    cli.stop.request_stop();
  });
  EXPECT_EQ(cli.Run("login --ca-file {dir}/ca.pem").exit_code, 130);
  cli.stop = std::stop_source();
  EXPECT_EQ(cli.Json("credential list").size(), 0);
}

TEST_F(LoginTest, AnApplicationIsTriedBeforeItIsKept) {
  WriteSecret("wrong", "wrong-secret");
  WriteSecret("right", "right-secret");
  const std::string login =
      "login --service-principal --tenant t1 --client-id app-1 --ca-file {dir}/ca.pem "
      "--client-secret-file {dir}/";
  const CommandResult refused = cli.Run(login + "wrong");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("ASR1605"));
  EXPECT_EQ(cli.Json("credential list").size(), 0);
  const auto json = cli.Json(login + "right");
  EXPECT_EQ(json["kind"], "client-secret");
  EXPECT_EQ(json["user"], "app-1");
  // A person takes its place.
  EXPECT_EQ(cli.Json("login --ca-file {dir}/ca.pem")["kind"], "login");
}

TEST_F(LoginTest, AKeyOfThatNameIsNotReplaced) {
  WriteSecret("key", "c2VjcmV0");
  cli.Json("credential add login --account contoso --key-file {dir}/key");
  EXPECT_EQ(cli.Run("login --ca-file {dir}/ca.pem").exit_code, 4);
  EXPECT_TRUE(entra.requests().empty());
}

TEST_F(LoginTest, OptionsThatDoNotFitAreRefused) {
  for (const char* const words :
       {"--service-principal", "--service-principal --identity --client-secret-file x",
        "--client-secret-file x", "--identity --tenant t", "--certificate-file x",
        "--service-principal --certificate-file -", "--name a/b"}) {
    EXPECT_EQ(cli.Run(std::string("login ") + words).exit_code, 2) << words;
  }
  EXPECT_TRUE(entra.requests().empty());
}

TEST_F(LoginTest, AnAuthorityFileThatIsNoneIsSaidAtOnce) {
  const CommandResult missing = cli.Run("login --ca-file {dir}/none.pem");
  EXPECT_EQ(missing.exit_code, 3);
  EXPECT_THAT(missing.err, HasSubstr("none.pem"));
  cli.WriteFile("key.pem", SharedCertificate().key_pem());
  const CommandResult empty = cli.Run("login --ca-file {dir}/key.pem");
  EXPECT_EQ(empty.exit_code, 2);
  EXPECT_THAT(empty.err, HasSubstr("no certificate"));
  // Strangers are refused without it, before a secret is sent.
  const CommandResult stranger = cli.Run("login");
  EXPECT_NE(stranger.exit_code, 0);
  EXPECT_THAT(stranger.err, HasSubstr("ASR1502"));
  EXPECT_TRUE(entra.requests().empty());
}

}  // namespace
}  // namespace asr::testing
