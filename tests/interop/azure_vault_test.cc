// Other programs read what asr wrote to a container: Microsoft's own clients, on Azurite.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "storage/auth/sas.h"
#include "storage/auth/storage_credential.h"
#include "storage/base/clock.h"
#include "storage/blob/azure_lists.h"
#include "storage/http/curl_transport.h"
#include "tests/support/azurite.h"
#include "tests/support/cli_runner.h"
#include "tests/support/raw_blob_client.h"
#include "tests/support/shell_command.h"

namespace asr {
namespace {

using testing::Azurite;
using testing::CliRunner;
using testing::CommandOutput;
using testing::RunShell;

class AzureVaultInteropTest : public ::testing::Test {
 protected:
  AzureVaultInteropTest() {
    cli.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.ConnectionString();
    cli.SetUpLab();
    cli.Json("vault create azure --target " + azurite.url() + "/vault");
    cli.Json("vault use azure");
    cli.Json("policy set gold");
    cli.Json("enable web --policy gold");
    first_ = cli.ReadFile(cli.Path("vms/web/root.raw"));
    cli.WriteDisk("root.raw", 1'000'000, std::string(100'000, 'b'));
    cli.Json("replicate web");
    blob_ = "items/" + cli.Json("items show web")["id"].get<std::string>() + "/disks/root.vhd";
  }

  // The content of a fixed VHD, as QEMU reads it, without its padding.
  std::string Converted(const std::string& name) {
    const CommandOutput converted = RunShell(
        fmt::format("cd {} && qemu-img convert -f vpc -O raw {} {}.raw", cli.Path(""), name, name));
    EXPECT_EQ(converted.exit_code, 0) << converted.text.substr(0, 1000);
    return cli.ReadFile(cli.Path(name + ".raw")).substr(0, first_.size());
  }

  Azurite azurite;
  CliRunner cli;
  std::string first_;  // of disk root, at the oldest point
  std::string blob_;
};

TEST_F(AzureVaultInteropTest, AzcopyDownloadsTheNewestReplica) {
  const auto sas = MakeServiceSas(testing::kAzuriteAccount, Secret(testing::kAzuriteKey),
                                  {.container = "vault",
                                   .blob = "",
                                   .snapshot = "",
                                   .permissions = "rl",
                                   .starts_at = {},
                                   .expires_at = SystemClock().Now() + std::chrono::hours(1),
                                   .is_https_only = false,
                                   .ip_range = ""});
  ASSERT_TRUE(sas.has_value());
  const CommandOutput copied = RunShell(fmt::format(
      "cd {} && export AZCOPY_LOG_LOCATION=$PWD AZCOPY_JOB_PLAN_LOCATION=$PWD "
      "AZCOPY_DISABLE_SYSLOG=true && {} copy '{}/vault/{}?{}' live.vhd --from-to BlobLocal "
      "--skip-version-check --output-level quiet",
      cli.Path(""), testing::AzcopyProgram(), azurite.url(), blob_, sas->query.Reveal()));
  ASSERT_EQ(copied.exit_code, 0) << copied.text.substr(0, 1000);
  EXPECT_EQ(Converted("live.vhd"), cli.ReadFile(cli.Path("vms/web/root.raw")));
}

TEST_F(AzureVaultInteropTest, MicrosoftsClientDownloadsAnOlderPoint) {
  const std::string point = cli.Json("points list web")[1]["id"];
  const CommandOutput read = RunShell(fmt::format(
      "cd {} && timeout 60 {} {}/tests/interop/azure_clients/download_point.mjs {} '{}' vault {} "
      "{} old.vhd",
      cli.Path(""), testing::NodeProgram(), ASR_SOURCE_DIR, testing::AzureToolsDirectory(),
      azurite.ConnectionString(), blob_, point));
  ASSERT_EQ(read.exit_code, 0) << read.text.substr(0, 1000);
  EXPECT_EQ(Converted("old.vhd"), first_);
}

TEST_F(AzureVaultInteropTest, AzDownloadsTheNewestReplica) {
  const CommandOutput read = RunShell(fmt::format(
      "cd {} && export AZURE_CONFIG_DIR=$PWD/az AZURE_CORE_COLLECT_TELEMETRY=no "
      "AZURE_STORAGE_CONNECTION_STRING='{}' && az storage blob download -c vault -n {} -f az.vhd "
      "-o none --no-progress",
      cli.Path(""), azurite.ConnectionString(), blob_));
  ASSERT_EQ(read.exit_code, 0) << read.text.substr(0, 1000);
  EXPECT_EQ(Converted("az.vhd"), cli.ReadFile(cli.Path("vms/web/root.raw")));
}

TEST_F(AzureVaultInteropTest, AzReadsDocuments) {
  const CommandOutput read = RunShell(fmt::format(
      "cd {} && export AZURE_CONFIG_DIR=$PWD/az AZURE_CORE_COLLECT_TELEMETRY=no "
      "AZURE_STORAGE_CONNECTION_STRING='{}' && az storage blob download -c vault -n vault.json "
      "-f vault.json -o none --no-progress",
      cli.Path(""), azurite.ConnectionString()));
  ASSERT_EQ(read.exit_code, 0) << read.text.substr(0, 1000);
  const auto document = nlohmann::ordered_json::parse(cli.ReadFile(cli.Path("vault.json")));
  EXPECT_EQ(document["id"], cli.Json("vault show azure")["id"]);
}

// One request where each would be one else.
TEST_F(AzureVaultInteropTest, AListBringsTheDocuments) {
  const auto credential = ParseConnectionString(Secret(azurite.ConnectionString()));
  ASSERT_TRUE(credential);
  const auto authorizer = MakeAuthorizer(*credential, credential->account, SystemClock());
  const auto transport = CurlTransport::Create({});
  ASSERT_TRUE(authorizer && transport);
  HttpClient http(**transport, SystemClock());
  AzureClient client(http, **authorizer, azurite.url() + "/vault", {});
  const auto listing = ListBlobs(client, {.prefix = "", .with_documents = true});
  ASSERT_TRUE(listing) << listing.error().Line();
  int documents = 0;
  for (const ListedBlob& blob : listing->blobs) {
    EXPECT_EQ(blob.document.has_value(), blob.name.ends_with(".json")) << blob.name;
    if (!blob.document) continue;
    ++documents;
    const auto body = client.Send({.blob = blob.name, .what = "read"});
    ASSERT_TRUE(body) << body.error().Line();
    EXPECT_EQ(*blob.document, body->body);
  }
  EXPECT_EQ(documents, 5) << "the vault, a policy, an item, two points";
}

}  // namespace
}  // namespace asr
