// asr reads what other programs uploaded: fixed VHDs that protection begins with, on Azurite.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>

#include "storage/auth/sas.h"
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
using Json = nlohmann::ordered_json;

class AzureSeedInteropTest : public ::testing::Test {
 protected:
  // A VM, and seed.vhd: its disk as it was before two chunks of it changed.
  AzureSeedInteropTest() {
    cli.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.ConnectionString();
    cli.SetUpLab();
    std::filesystem::remove(cli.Path("vms/web/data.raw"));
    root_ = cli.ReadFile(cli.Path("vms/web/root.raw"));
    std::string old = root_;
    std::fill_n(old.begin() + kMiB, 100, 'x');
    std::fill_n(old.begin() + 2 * kMiB + 64 * kKiB, 100, 'y');
    cli.WriteFile("old.raw", old);
    Succeed("qemu-img convert -f raw -O vpc -o subformat=fixed,force_size=on old.raw seed.vhd");
    snapshot_ =
        Succeed(fmt::format("timeout 60 {} {}/tests/interop/azure_clients/upload_vhd.mjs "
                            "{} '{}' vhds by-client.vhd seed.vhd",
                            testing::NodeProgram(), ASR_SOURCE_DIR, testing::AzureToolsDirectory(),
                            azurite.ConnectionString()));
    cli.Json("vault create azure --target " + azurite.url() + "/vault");
    cli.Json("vault use azure");
    cli.Json("policy set gold");
  }

  std::string Succeed(const std::string& command) {
    const CommandOutput outcome = RunShell(fmt::format("cd {} && {}", cli.Path(""), command));
    EXPECT_EQ(outcome.exit_code, 0) << command << "\n" << outcome.text.substr(0, 1000);
    return outcome.text;
  }

  // Only the two chunks come from the VM, and what is restored is its disk.
  void ExpectSeeds(const std::string& blob) {
    const Json job = cli.Json("enable web --policy gold --seed " + azurite.url() + "/vhds/" + blob);
    EXPECT_EQ(job["stats"]["bytesSent"], 2 * 64 * kKiB);
    EXPECT_EQ(job["stats"]["bytesResumed"], root_.size() - 2 * 64 * kKiB);
    cli.Json("restore web --to {dir}/out");
    EXPECT_TRUE(cli.ReadFile(cli.Path("out/root.raw")) == root_);
    cli.Json("points verify web");
  }

  Azurite azurite;
  CliRunner cli;
  std::string root_;
  std::string snapshot_;  // of by-client.vhd
};

TEST_F(AzureSeedInteropTest, WhatMicrosoftsClientUploaded) { ExpectSeeds("by-client.vhd"); }

TEST_F(AzureSeedInteropTest, ASnapshotThatMicrosoftsClientTook) {
  ExpectSeeds("by-client.vhd?snapshot=" + snapshot_);
}

TEST_F(AzureSeedInteropTest, WhatAzcopyUploaded) {
  const auto sas = MakeServiceSas(testing::kAzuriteAccount, Secret(testing::kAzuriteKey),
                                  {.container = "vhds",
                                   .blob = "",
                                   .snapshot = "",
                                   .permissions = "rcwl",
                                   .starts_at = {},
                                   .expires_at = SystemClock().Now() + std::chrono::hours(1),
                                   .is_https_only = false,
                                   .ip_range = ""});
  ASSERT_TRUE(sas.has_value());
  Succeed(
      fmt::format("export AZCOPY_LOG_LOCATION=$PWD AZCOPY_JOB_PLAN_LOCATION=$PWD "
                  "AZCOPY_DISABLE_SYSLOG=true && {} copy seed.vhd '{}/vhds/by-azcopy.vhd?{}' "
                  "--from-to LocalBlob --blob-type PageBlob --skip-version-check "
                  "--output-level quiet",
                  testing::AzcopyProgram(), azurite.url(), sas->query.Reveal()));
  ExpectSeeds("by-azcopy.vhd");
}

TEST_F(AzureSeedInteropTest, WhatAzUploaded) {
  Succeed(
      fmt::format("export AZURE_CONFIG_DIR=$PWD/az AZURE_CORE_COLLECT_TELEMETRY=no "
                  "AZURE_STORAGE_CONNECTION_STRING='{}' && az storage blob upload -c vhds -n "
                  "by-az.vhd -f seed.vhd --type page -o none --no-progress",
                  azurite.ConnectionString()));
  ExpectSeeds("by-az.vhd");
}

}  // namespace
}  // namespace asr
