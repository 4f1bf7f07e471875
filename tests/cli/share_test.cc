// asr credential share: a colleague reads the vault, and does nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/cli_runner.h"
#include "tests/support/page_blob_server/page_blob_server.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ShareTest : public ::testing::Test {
 protected:
  ShareTest() {
    cli.SetUpLab();
    cli.variables["AZURE_STORAGE_CONNECTION_STRING"] = server.ConnectionString();
    cli.Json("vault create azure --target " + server.url() + "/vault");
    cli.Json("vault use azure");
  }

  PageBlobServer server;
  CliRunner cli;
};

TEST_F(ShareTest, AColleagueReadsAndWritesNothing) {
  cli.Json("policy set gold");
  cli.Json("enable web --policy gold");
  const auto shared = cli.Json("credential share --for 2h --output-file {dir}/sas");
  EXPECT_EQ(shared["kind"], "service");
  EXPECT_EQ(shared["permissions"], "rl");
  EXPECT_FALSE(shared.contains("sas"));
  struct stat status {};
  ASSERT_EQ(::stat(cli.Path("sas").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);

  CliRunner other;
  other.typed = cli.ReadFile(cli.Path("sas"));
  other.Json("credential add ada --sas-file -");
  other.typed.clear();
  other.Json("vault connect azure --target " + server.url() + "/vault --credential ada");
  EXPECT_EQ(other.Json("items list")[0]["name"], "web");
  EXPECT_EQ(other.Json("points list web").size(), 1);
  other.Json("restore web --to {dir}/back");
  EXPECT_TRUE(other.ReadFile(other.Path("back/root.raw")) ==
              cli.ReadFile(cli.Path("vms/web/root.raw")));
  other.Json("points verify web");
  const auto before = cli.Json("points list web");
  const std::string point = before[0]["id"].get<std::string>();
  for (const std::string& verb :
       {std::string("policy set other"), "points hold web " + point,
        std::string("vault rollback web"), std::string("disable web --yes"),
        std::string("vault delete azure --yes")}) {
    const CommandResult refused = other.Run(verb);
    EXPECT_EQ(refused.exit_code, 4) << verb << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("ASR1602")) << verb;
  }
  EXPECT_EQ(cli.Json("points list web"), before);
  EXPECT_EQ(cli.Json("vault check")["healthy"], true);
}

TEST_F(ShareTest, TheSignatureIsPrintedOnlyOnRequest) {
  EXPECT_EQ(cli.Run("credential share").exit_code, 2);
  const CommandResult shown = cli.Run("credential share --show --ip 192.0.2.1-192.0.2.9 -o json");
  ASSERT_EQ(shown.exit_code, 0) << shown.err;
  const std::string sas = shown.OutJson()["sas"].get<std::string>();
  EXPECT_THAT(sas, HasSubstr("sip=192.0.2.1-192.0.2.9"));
  EXPECT_THAT(sas, HasSubstr("sp=rl"));
  for (const auto& [path, content] : cli.Tree("state")) {
    EXPECT_THAT(content, Not(HasSubstr(sas.substr(sas.find("sig="))))) << path;
  }
  cli.WriteFile("taken", "mine");
  EXPECT_EQ(cli.Run("credential share --output-file {dir}/taken").exit_code, 4);
  EXPECT_EQ(cli.ReadFile(cli.Path("taken")), "mine");
  for (const char* const wrong :
       {"--for 10s", "--for 2y", "--for 400d", "--ip 1.2.3", "--ip ::1"}) {
    EXPECT_EQ(cli.Run(std::string("credential share --show ") + wrong).exit_code, 2) << wrong;
  }
}

TEST_F(ShareTest, WhatCannotSignSaysSo) {
  EXPECT_EQ(cli.Run("credential share --show --vault main").exit_code, 4);
  cli.typed = server.AccountSas("racwdl", std::chrono::hours(24 * 30));
  cli.Json("credential add by-sas --sas-file -");
  const CommandResult refused = cli.Run("credential share --show --credential by-sas");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("cannot sign another"));
}

// What no page blob can hold.
TEST_F(ShareTest, ADryRunRefusesWhatTheRunWould) {
  cli.Json("vault create plain --target {dir}/plain");
  EXPECT_EQ(cli.Run("credential share --vault plain --show --dry-run").exit_code, 4);
  const auto plan = cli.Json("credential share --output-file {dir}/new --dry-run");
  EXPECT_EQ(plan["plan"].size(), 1U);
  EXPECT_FALSE(std::filesystem::exists(cli.Path("new")));
  cli.WriteFile("taken", "");
  EXPECT_EQ(cli.Run("credential share --output-file {dir}/taken --dry-run").exit_code,
            cli.Run("credential share --output-file {dir}/taken").exit_code);
  EXPECT_EQ(cli.Run("login --ca-file {dir}/none.pem --dry-run").exit_code, 3);
}

TEST_F(ShareTest, ADiskThatAzureCannotHoldIsRefusedBeforehand) {
  std::filesystem::create_directories(cli.Path("vms/huge"));
  cli.WriteFile("vms/huge/root.raw", "");
  std::filesystem::resize_file(cli.Path("vms/huge/root.raw"), std::uintmax_t{9} << 40);
  cli.Json("policy set gold");
  const CommandResult checked = cli.Run("check huge");
  EXPECT_EQ(checked.exit_code, 4);
  EXPECT_THAT(checked.out, HasSubstr("a vault on Azure holds disks of"));
  const CommandResult refused = cli.Run("enable huge --policy gold");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("8.0 TiB"));
  EXPECT_EQ(cli.Json("items list").size(), 0);
  // A directory holds it.
  EXPECT_EQ(cli.Run("check huge --vault main").exit_code, 0);
}

// Another credential for a vault that is registered.
TEST_F(ShareTest, ConnectingAgainChangesTheCredential) {
  cli.typed = server.key();
  cli.Json("credential add good --account " + server.account() + " --key-file -");
  cli.typed = "d3Jvbmc=";
  cli.Json("credential add bad --account " + server.account() + " --key-file -");
  cli.variables.erase("AZURE_STORAGE_CONNECTION_STRING");
  const std::string connect = "vault connect azure --target " + server.url() + "/vault";
  const CommandResult changed = cli.Run(connect + " --credential good");
  EXPECT_EQ(changed.exit_code, 0) << changed.err;
  EXPECT_THAT(changed.err, HasSubstr("opened with credential good from now on"));
  EXPECT_EQ(cli.Json("vault check")["healthy"], true);
  // One that does not open it changes nothing.
  EXPECT_EQ(cli.Run(connect + " --credential bad").exit_code, 4);
  EXPECT_EQ(cli.Json("vault show azure")["credential"], "good");
  // What is not given keeps its value.
  EXPECT_EQ(cli.Run(connect).exit_code, 0);
  EXPECT_EQ(cli.Json("vault check")["healthy"], true);
}

}  // namespace
}  // namespace asr::testing
