// The page-blob server of the tests is right: judged by clients that are not ours, and by raw
// requests for what those do not ask.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/support/azurite.h"
#include "tests/support/certificate_files.h"
#include "tests/support/page_blob_server/page_blob_server.h"
#include "tests/support/raw_blob_client.h"
#include "tests/support/shell_command.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using testing::CommandOutput;
using testing::Has;
using testing::PageBlobServer;
using testing::PageBlobServerOptions;
using testing::RawClient;
using testing::RunShell;
using testing::TempDir;

std::string JudgeCommand(const PageBlobServer& server, const std::string& token) {
  return fmt::format(
      "timeout 120 {} {}/tests/interop/azure_clients/judge_page_blob_server.mjs {} "
      "{} {} {} {}",
      testing::NodeProgram(), ASR_SOURCE_DIR, testing::AzureToolsDirectory(), server.url(),
      server.account(), server.key(), token);
}

TEST(PageBlobServerTest, MicrosoftsClientFindsNothingWrong) {
  PageBlobServer server;
  const CommandOutput judged = RunShell(JudgeCommand(server, ""));
  EXPECT_EQ(judged.exit_code, 0) << judged.text;
}

TEST(PageBlobServerTest, MicrosoftsClientFindsNothingWrongOverTls) {
  const TempDir directory;
  const testing::CertificateFiles files = testing::MakeCertificateFiles(directory.path());
  PageBlobServerOptions options;
  options.certificate_file = files.certificate_file;
  options.key_file = files.key_file;
  PageBlobServer server(options);
  server.AddToken("token-of-the-judge", std::chrono::hours(24));
  const CommandOutput judged = RunShell("NODE_EXTRA_CA_CERTS=" + files.authority_file + " " +
                                        JudgeCommand(server, "token-of-the-judge"));
  EXPECT_EQ(judged.exit_code, 0) << judged.text;
}

TEST(PageBlobServerTest, AzcopyUploadsAndDownloads) {
  PageBlobServer server;
  RawClient client(server);
  const TempDir directory;
  const std::string script = fmt::format(
      "cd {} && export AZCOPY_LOG_LOCATION=$PWD AZCOPY_JOB_PLAN_LOCATION=$PWD "
      "AZCOPY_DISABLE_SYSLOG=true && truncate -s 16777728 f.vhd && "
      "dd if=/dev/urandom of=f.vhd bs=1M count=5 seek=3 conv=notrunc status=none && "
      "{} copy f.vhd '{}/box/f.vhd?{}' --blob-type PageBlob --from-to LocalBlob "
      "--skip-version-check --output-level quiet && "
      "{} copy '{}/box/f.vhd?{}' g.vhd --from-to BlobLocal --skip-version-check "
      "--output-level quiet && cmp f.vhd g.vhd",
      directory.path(), testing::AzcopyProgram(), server.url(), client.sas(),
      testing::AzcopyProgram(), server.url(), client.sas());
  const CommandOutput copied = RunShell(script);
  EXPECT_EQ(copied.exit_code, 0) << copied.text.substr(0, 2000);
  EXPECT_GE(server.Counts()["PutPage"], 2U);
}

TEST(PageBlobServerTest, AzStorageWorksWithIt) {
  PageBlobServer server;
  const TempDir directory;
  const std::string script = fmt::format(
      "cd {} && export AZURE_CONFIG_DIR=$PWD AZURE_CORE_COLLECT_TELEMETRY=no "
      "AZURE_STORAGE_CONNECTION_STRING='{}' && "
      "dd if=/dev/urandom of=f.vhd bs=512 count=2049 status=none && "
      "az storage container create -n box -o none && "
      "az storage blob upload --type page -c box -n f.vhd -f f.vhd -o none --no-progress && "
      "az storage blob snapshot -c box -n f.vhd -o none && "
      "az storage blob list -c box --include s --query 'length(@)' -o tsv && "
      "az storage blob download -c box -n f.vhd -f g.vhd -o none --no-progress && cmp f.vhd g.vhd",
      directory.path(), server.ConnectionString());
  const CommandOutput worked = RunShell(script);
  EXPECT_EQ(worked.exit_code, 0) << worked.text.substr(0, 2000);
  EXPECT_TRUE(Has(worked.text, "2\n")) << worked.text;
}

TEST(PageBlobServerTest, RefusesAsTheServiceDoes) {
  PageBlobServer server;
  RawClient client(server);
  EXPECT_EQ(client.Create("d.vhd", 1000), 400);
  EXPECT_EQ(client.Create("d.vhd", 9 * kTiB), 400);
  EXPECT_EQ(client.Create("d.vhd", 8 * kTiB), 201);
  const std::string bytes(512, 'x');
  EXPECT_EQ(client.Write("d.vhd", 8 * kTiB - 512, bytes), 201);
  EXPECT_TRUE(Has(client.WriteReply("d.vhd", 8 * kTiB, bytes), "InvalidPageRange"));
  EXPECT_TRUE(Has(client.WriteReply("d.vhd", 0, bytes, "-H 'If-Match: 0x1'"),
                  "x-ms-error-code: InvalidHeaderValue"));
  EXPECT_EQ(client.Status("PUT", "box/d.vhd?comp=page&snapshot=2026-11-23T06:36:41.0300000Z",
                          RawClient::WriteHeaders(0, 512), bytes),
            400);
  EXPECT_EQ(client.Status("PUT", "box/d.vhd?comp=metadata",
                          "-H 'x-ms-if-sequence-number-eq: 1' -H 'x-ms-meta-a: b'"),
            400);
  EXPECT_EQ(client.Status("PUT", "box/d.vhd?comp=properties",
                          "-H 'x-ms-sequence-number-action: increment' "
                          "-H 'x-ms-blob-sequence-number: 4'"),
            400);
  EXPECT_EQ(client.Status("GET", "box/d.vhd?comp=tags"), 501);
  const std::string head = client.Send("HEAD", "box/none");
  EXPECT_TRUE(Has(head, "404")) << head;
  EXPECT_TRUE(Has(head, "x-ms-error-code: BlobNotFound")) << head;
  const std::string echo =
      client.Send("GET", "box/d.vhd?comp=metadata", "-H 'x-ms-client-request-id: mine'");
  EXPECT_TRUE(Has(echo, "x-ms-client-request-id: mine\r\n"));
  EXPECT_TRUE(Has(RunShell("curl -si " + server.url() + "/box/d.vhd").text,
                  "WWW-Authenticate: Bearer "
                  "authorization_uri="));
}

TEST(PageBlobServerTest, ReadsOnlyWhatWasWritten) {
  PageBlobServer server;
  RawClient client(server);
  ASSERT_EQ(client.Create("d.vhd", 1 << 20), 201);
  ASSERT_EQ(client.Write("d.vhd", 65'024, std::string(1024, 'x')), 201);
  EXPECT_EQ(client.Read("d.vhd", 65'023, 1026),
            std::string(1, '\0') + std::string(1024, 'x') + std::string(1, '\0'));
  EXPECT_EQ(client.Read("d.vhd", (1 << 20) - 2, 100), std::string(2, '\0'));
}

TEST(PageBlobServerTest, PremiumAccountsLimitSnapshots) {
  PageBlobServerOptions options;
  options.is_premium = true;
  PageBlobServer server(options);
  RawClient client(server);
  ASSERT_EQ(client.Create("d.vhd", 512), 201);
  EXPECT_EQ(client.Status("PUT", "box/d.vhd?comp=snapshot"), 201);
  EXPECT_TRUE(Has(client.Send("PUT", "box/d.vhd?comp=snapshot"), "SnapshotOperationRateExceeded"));
  for (int i = 1; i < 100; ++i) {
    server.AdvanceClock(std::chrono::minutes(10));
    ASSERT_EQ(client.Status("PUT", "box/d.vhd?comp=snapshot"), 201);
  }
  server.AdvanceClock(std::chrono::minutes(10));
  EXPECT_TRUE(Has(client.Send("PUT", "box/d.vhd?comp=snapshot"), "SnapshotCountExceeded"));
}

TEST(PageBlobServerTest, OneBlobTakesSoMuchASecond) {
  PageBlobServerOptions options;
  options.blob_requests_per_second = 3;
  PageBlobServer server(options);
  RawClient client(server);
  ASSERT_EQ(client.Create("d.vhd", 512), 201);
  std::string refused;
  for (int i = 0; i < 30 && refused.empty(); ++i) {
    const std::string reply = client.Send("HEAD", "box/d.vhd");
    if (RawClient::StatusOf(reply) == 503) refused = reply;
  }
  EXPECT_TRUE(Has(refused, "ServerBusy"));
  EXPECT_TRUE(Has(refused, "Retry-After: 1\r\n"));
}

TEST(PageBlobServerTest, ListsAreNoLongerThanTheServerLikes) {
  PageBlobServerOptions options;
  options.list_page_limit = 2;
  options.range_page_limit = 1;
  PageBlobServer server(options);
  RawClient client(server);
  for (const char* name : {"a", "b", "c"}) ASSERT_EQ(client.Create(name, 8 << 20), 201);
  const std::string list = client.Send("GET", "box?restype=container&comp=list");
  EXPECT_TRUE(Has(list, "<Name>b</Name>"));
  EXPECT_FALSE(Has(list, "<Name>c</Name>"));
  EXPECT_TRUE(Has(list, "<NextMarker>"));
  ASSERT_EQ(client.Write("a", (4 << 20) - 512, std::string(1024, 'x')), 201);
  const std::string ranges = client.Send("GET", "box/a?comp=pagelist");
  EXPECT_TRUE(Has(ranges,
                  "<PageRange><Start>4193792</Start><End>4194303</End></PageRange>"
                  "<NextMarker>"));
}

TEST(PageBlobServerTest, ADeletedContainerGoesSlowly) {
  PageBlobServerOptions options;
  options.container_deletion_seconds = 30;
  PageBlobServer server(options);
  RawClient client(server);
  ASSERT_EQ(client.Status("DELETE", "box?restype=container"), 202);
  EXPECT_TRUE(Has(client.Send("PUT", "box?restype=container"), "ContainerBeingDeleted"));
  server.AdvanceClock(std::chrono::seconds(30));
  EXPECT_EQ(client.Status("PUT", "box?restype=container"), 201);
}

TEST(AzuriteTest, AnswersPlainAndOverTls) {
  const testing::Azurite plain;
  EXPECT_TRUE(plain.url().starts_with("http://"));
  const testing::Azurite secure({.is_https = true, .takes_tokens = true});
  EXPECT_TRUE(secure.url().starts_with("https://"));
  // Bearer tokens are understood: what is none is refused as such.
  const std::string refused =
      RunShell(
          "curl -s --noproxy '*' -H 'Authorization: Bearer x' -H 'x-ms-version: 2023-11-03' "
          "--cacert " +
          secure.authority_file() + " -D - '" + secure.url() + "?comp=list'")
          .text;
  EXPECT_TRUE(Has(refused, "AuthenticationFailed") || Has(refused, "InvalidAuthenticationInfo"))
      << refused;
}

}  // namespace
}  // namespace asr
