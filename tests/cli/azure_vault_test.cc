// A vault on Azure Blob Storage by the command line, on a strict server of page blobs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "cli/render.h"
#include "tests/support/boot_sector.h"
#include "tests/support/cli_runner.h"
#include "tests/support/page_blob_server/page_blob_server.h"

namespace asr {
namespace {

using testing::BootSector;
using testing::CliRunner;
using testing::CommandResult;
using testing::FaultAction;
using ::testing::HasSubstr;
using ::testing::Not;

class AzureVaultTest : public ::testing::Test {
 protected:
  AzureVaultTest() {
    cli.SetUpLab();
    SignIn(cli);
  }

  void SignIn(CliRunner& machine) {
    machine.variables["AZURE_STORAGE_CONNECTION_STRING"] = server.ConnectionString();
  }
  [[nodiscard]] std::string Url() const { return server.url() + "/vault"; }
  [[nodiscard]] std::string Disk(const CliRunner& machine, const std::string& path) const {
    return machine.ReadFile(machine.Path(path));
  }
  void CreateAndEnable() {
    cli.Json("vault create azure --target " + Url());
    cli.Json("vault use azure");
    cli.Json("policy set gold");
    cli.Json("enable web --policy gold");
  }

  testing::PageBlobServer server;
  CliRunner cli;
};

TEST_F(AzureVaultTest, AVmLivesItsWholeLifeThere) {
  CreateAndEnable();
  const std::string first = Disk(cli, "vms/web/root.raw");
  cli.WriteDisk("root.raw", 1'000'000, std::string(100'000, 'b'));
  const Json replicated = cli.Json("replicate web");
  EXPECT_EQ(replicated["point"]["new"], true);
  EXPECT_LE(replicated["job"]["stats"]["bytesSent"].get<std::uint64_t>(), 3 * 64 * 1024);
  EXPECT_EQ(cli.Json("replicate web")["point"]["new"], false);
  const Json points = cli.Json("points list web");
  ASSERT_EQ(points.size(), 2);
  cli.Json("restore web --to {dir}/new");
  EXPECT_EQ(Disk(cli, "new/root.raw"), Disk(cli, "vms/web/root.raw"));
  cli.Json("restore web --to {dir}/old --point " + points[1]["id"].get<std::string>());
  EXPECT_EQ(Disk(cli, "old/root.raw"), first);
  cli.Json("points verify web");
  cli.Json("resync web --now --deep");
  EXPECT_EQ(cli.Json("vault check")["healthy"], true);
  EXPECT_EQ(cli.Json("items list")[0]["vault"], "azure");
  cli.Json("points hold web " + points[1]["id"].get<std::string>());
  EXPECT_EQ(cli.Json("points show web " + points[1]["id"].get<std::string>())["held"], true);
  cli.Json("disable web --yes");
  EXPECT_EQ(cli.Json("items list").size(), 0);
  EXPECT_EQ(cli.Run("vault delete azure --yes").exit_code, 0);
  EXPECT_EQ(cli.Json("vault list").size(), 1);
}

// What was sent is known on this machine, as long as the vault has not changed meanwhile.
TEST_F(AzureVaultTest, DigestsAreReadOnceAndKept) {
  std::filesystem::resize_file(cli.Path("vms/web/root.raw"), 100 * kGiB);
  CreateAndEnable();
  const auto reads = [&] {
    int count = 0;
    for (const auto& request : server.Log()) {
      const bool is_live = request.blob.ends_with("root.digests") && request.snapshot.empty();
      count += request.operation == "GetBlob" && is_live ? 1 : 0;
    }
    server.ClearLog();
    return count;
  };
  const auto replicate = [&](char letter) {
    cli.WriteDisk("root.raw", 50 * kGiB, std::string(10, letter));
    EXPECT_EQ(cli.Json("replicate web")["point"]["new"], true);
    return reads();
  };
  reads();
  replicate('a');
  // The header, and the rows of the group that changed.
  EXPECT_LE(replicate('b'), 3);
  std::filesystem::remove_all(cli.Path("state/digests"));
  EXPECT_GE(replicate('c'), 7) << "each segment of 16 GiB has group digests of its own";
  EXPECT_LE(replicate('d'), 3);
  // Another machine writes: what was kept is not what the vault has.
  CliRunner other;
  SignIn(other);
  other.Json("vault connect azure --target " + Url());
  other.Json("vault rollback web --yes");
  EXPECT_GE(replicate('e'), 7);
  cli.Json("restore web --to {dir}/new");
  std::ifstream restored(cli.Path("new/root.raw"), std::ios::binary);
  restored.seekg(static_cast<std::streamoff>(50 * kGiB));
  std::string written(10, ' ');
  restored.read(written.data(), 10);
  EXPECT_EQ(written, "eeeeeeeeee");
}

// After a disaster: nothing but the URL and a credential.
TEST_F(AzureVaultTest, AnotherMachineRecoversFromIt) {
  CreateAndEnable();
  CliRunner other;
  other.variables["AZURE_STORAGE_ACCOUNT"] = server.account();
  other.variables["AZURE_STORAGE_KEY"] = server.key();
  other.Json("vault connect found --target " + Url());
  EXPECT_EQ(other.Json("items list")[0]["name"], "web");
  other.Json("restore web --to {dir}/back");
  EXPECT_EQ(Disk(other, "back/root.raw"), Disk(cli, "vms/web/root.raw"));
  EXPECT_EQ(Disk(other, "back/data.raw"), Disk(cli, "vms/web/data.raw"));
}

TEST_F(AzureVaultTest, AnotherMachineTestsAFailoverFromIt) {
  for (const char* disk : {"data.raw", "root.raw"}) {
    cli.WriteDisk(disk, 0, BootSector(testing::kWriteText, "web is ready\r\n"));
  }
  CreateAndEnable();
  CliRunner other;
  other.program = ASR_BINARY;
  SignIn(other);
  other.Json("vault connect found --target " + Url());
  const Json tested = other.Json("test-failover web --serial-text ready --wait-seconds 120");
  EXPECT_EQ(tested["guest"]["signOfLife"], "web is ready");
  other.Json("test-failover-cleanup web --notes drill");
  EXPECT_EQ(cli.Json("points list web")[0]["proof"]["notes"], "drill");
}

TEST_F(AzureVaultTest, AStoredCredentialIsRememberedWithTheVault) {
  cli.variables.erase("AZURE_STORAGE_CONNECTION_STRING");
  const CommandResult none = cli.Run("vault create azure --target " + Url());
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("ASR1603"));
  cli.WriteFile("key", server.key());
  std::filesystem::permissions(cli.Path("key"), std::filesystem::perms::owner_read);
  cli.Json("credential add store --account " + server.account() + " --key-file {dir}/key");
  cli.Json("vault create azure --target " + Url() + " --credential store");
  // No command has to name it again.
  EXPECT_EQ(cli.Json("vault check --vault azure")["healthy"], true);
  for (const auto& [path, content] : cli.Tree("")) {
    if (path.find("/credentials/") != std::string::npos || path.ends_with("/key")) continue;
    EXPECT_THAT(content, Not(HasSubstr(server.key()))) << path;
  }
}

TEST_F(AzureVaultTest, WhatAVaultIsOpenedWithCanBeForgotten) {
  cli.WriteFile("key", server.key());
  std::filesystem::permissions(cli.Path("key"), std::filesystem::perms::owner_read);
  cli.Json("credential add store --account " + server.account() + " --key-file {dir}/key");
  const std::string certificates = "/etc/ssl/certs/ca-certificates.crt";
  cli.Json("vault create azure --target " + Url() + " --credential store --ca-file " +
           certificates);
  EXPECT_EQ(cli.Json("vault show azure")["credential"], "store");
  const std::string connect = "vault connect azure --target " + Url();
  EXPECT_EQ(cli.Run(connect + " --unset credential --credential store").exit_code, 2);
  EXPECT_EQ(cli.Run(connect + " --unset ca-file --ca-file " + certificates).exit_code, 2);
  EXPECT_EQ(cli.Run(connect + " --unset target").exit_code, 2);
  // What it cannot be opened without is kept.
  const auto variables = cli.variables;
  cli.variables.erase("AZURE_STORAGE_CONNECTION_STRING");
  EXPECT_EQ(cli.Run(connect + " --unset credential").exit_code, 3);
  EXPECT_EQ(cli.Json("vault show azure")["credential"], "store");
  cli.variables = variables;
  const CommandResult told = cli.Run(connect + " --unset credential --unset ca-file");
  EXPECT_EQ(told.exit_code, 0);
  EXPECT_THAT(told.err, HasSubstr("what the environment has from now on, not store"));
  const Json forgotten = cli.Json("vault show azure");
  EXPECT_EQ(forgotten["credential"], nullptr);
  EXPECT_EQ(forgotten["caFile"], nullptr);
  EXPECT_EQ(cli.Run("credential remove store --yes").exit_code, 0);
  EXPECT_EQ(cli.Json("vault check --vault azure")["healthy"], true);
}

TEST_F(AzureVaultTest, WhatCannotBeAVaultsPlaceIsRefused) {
  const CommandResult secret = cli.Run("vault create azure --target " + Url() + "?" +
                                       server.AccountSas("rwdl", std::chrono::hours(1)));
  EXPECT_EQ(secret.exit_code, 2);
  EXPECT_THAT(secret.err, HasSubstr("AZURE_STORAGE_SAS_TOKEN"));
  EXPECT_THAT(secret.err, Not(HasSubstr("sig=")));
  for (const std::string mistyped : {"acct.blob.core.windows.net/vault?sv=1&sig=hush",
                                     "HTTPS://acct.blob.core.windows.net/vault?sig=hush"}) {
    const CommandResult refused = cli.RunWords({"vault", "create", "azure", "--target", mistyped});
    EXPECT_EQ(refused.exit_code, 2) << mistyped;
    EXPECT_THAT(refused.err, Not(HasSubstr("hush")));
  }
  EXPECT_EQ(cli.Run("vault create azure --target " + server.url()).exit_code, 2);
  EXPECT_EQ(cli.Run("vault create azure --target s3://bucket/vault").exit_code, 2);
  EXPECT_EQ(cli.Run("vault connect azure --target " + Url()).exit_code, 3);
  // A container in which others keep something.
  cli.Json("vault create first --target " + server.url() + "/first");
  const CommandResult taken = cli.Run("vault create second --target " + server.url() + "/first");
  EXPECT_EQ(taken.exit_code, 4);
}

TEST_F(AzureVaultTest, ASasOfTheAccountIsEnough) {
  cli.variables.erase("AZURE_STORAGE_CONNECTION_STRING");
  cli.variables["AZURE_STORAGE_ACCOUNT"] = server.account();
  cli.variables["AZURE_STORAGE_SAS_TOKEN"] = server.AccountSas("racwdl", std::chrono::hours(24));
  cli.Json("vault create azure --target " + Url());
  const CommandResult used = cli.Run("vault check --vault azure");
  EXPECT_EQ(used.exit_code, 0);
  // It ends tomorrow.
  EXPECT_THAT(used.err, HasSubstr("ends at"));
  EXPECT_THAT(used.err, Not(HasSubstr("sig=")));
}

TEST_F(AzureVaultTest, RefusalsNameTheServersCodeAndRequest) {
  CreateAndEnable();
  cli.variables["AZURE_STORAGE_CONNECTION_STRING"] =
      "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=d3Jvbmc=;"
      "BlobEndpoint=" +
      server.url();
  const CommandResult result = cli.Run("items list");
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.err, HasSubstr("AuthenticationFailed"));
  EXPECT_THAT(result.err, HasSubstr("request"));
}

}  // namespace
}  // namespace asr
