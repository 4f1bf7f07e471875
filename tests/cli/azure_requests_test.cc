// How many requests commands send to a vault on Azure Blob Storage: each costs a round trip and
// money. Bounds, not exact numbers.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "core/vault/vault.h"
#include "tests/support/azure_test_store.h"
#include "tests/support/cli_runner.h"
#include "tests/support/page_blob_server/page_blob_server.h"

namespace asr {
namespace {

using testing::CliRunner;

class AzureRequestsTest : public ::testing::Test {
 protected:
  AzureRequestsTest() {
    SignIn(cli);
    cli.SetUpLab();
    cli.Json("vault create azure --target " + Url());
    cli.Json("vault use azure");
    cli.Json("policy set gold");
    cli.Json("enable web --policy gold");
  }

  void SignIn(CliRunner& machine) {
    machine.variables["AZURE_STORAGE_CONNECTION_STRING"] = server.ConnectionString();
  }
  [[nodiscard]] std::string Url() const { return server.url() + "/vault"; }

  // Documents of older points, whose snapshots nobody looks for.
  void AddPoints(int count) {
    auto store = testing::OpenTestStore(server, cli.Path("leases"), /*create=*/false);
    ASSERT_TRUE(store) << store.error().Line();
    const auto vault = Vault::Open(*std::move(store), "azure");
    ASSERT_TRUE(vault) << vault.error().Line();
    const auto item = (*vault)->FindItem("web");
    ASSERT_TRUE(item) << item.error().Line();
    auto point = (*vault)->NewestPoint(item->id);
    ASSERT_TRUE(point && *point);
    for (int i = 1; i <= count; ++i) {
      (*point)->time -= std::chrono::seconds(10);
      (*point)->id = {FormatCompactTime((*point)->time)};
      ASSERT_TRUE((*vault)->PutPoint(**point));
    }
  }

  // Of one command.
  std::uint64_t RequestsOf(CliRunner& machine, const std::string& line) {
    server.ClearLog();
    machine.Json(line);
    std::uint64_t requests = 0;
    std::string kinds;
    for (const auto& [operation, count] : server.Counts()) {
      if (operation == "connections" || operation.ends_with("_bytes")) continue;
      requests += count;
      kinds += " " + operation + " " + std::to_string(count);
    }
    // For people who work on this.
    if (std::getenv("ASR_SHOW_REQUESTS") != nullptr) {
      std::printf("%-32s %4d:%s\n", line.substr(0, 32).c_str(), static_cast<int>(requests),
                  kinds.c_str());
      if (std::string(std::getenv("ASR_SHOW_REQUESTS")) == "all") {
        for (const auto& record : server.Log()) {
          std::printf("    %s %s %d %s\n", record.operation.c_str(), record.blob.c_str(),
                      record.status, record.snapshot.c_str());
        }
      }
    }
    return requests;
  }

  testing::PageBlobServer server;
  CliRunner cli;
};

TEST_F(AzureRequestsTest, EachCommandHasItsBound) {
  AddPoints(99);
  CliRunner other;
  SignIn(other);
  EXPECT_LE(RequestsOf(other, "vault connect azure --target " + Url()), 2);
  // The documents once, with one list, and then what the list tells to be new.
  EXPECT_LE(RequestsOf(other, "points list web"), 7);
  EXPECT_LE(RequestsOf(other, "points list web"), 4);
  EXPECT_LE(RequestsOf(cli, "items list"), 5);
  EXPECT_LE(RequestsOf(cli, "points list web"), 6);
  EXPECT_LE(RequestsOf(cli, "points show web"), 5);
  EXPECT_LE(RequestsOf(cli, "replicate web"), 45);
  cli.WriteDisk("root.raw", 1'000'000, std::string(1000, 'b'));
  EXPECT_LE(RequestsOf(cli, "replicate web"), 62);
  EXPECT_LE(RequestsOf(cli, "status"), 5);
  EXPECT_LE(RequestsOf(cli, "restore web --to {dir}/new"), 66);
}

// A person who presses Tab waits for no network.
TEST_F(AzureRequestsTest, NamesOfLinesBeingTypedCostNone) {
  cli.Json("points list web");
  server.ClearLog();
  const auto items = cli.RunWords({"__complete", "--", "points", "list", ""});
  EXPECT_NE(items.out.find("web"), std::string::npos) << items.out;
  const auto points = cli.RunWords({"__complete", "--", "points", "show", "web", "2"});
  EXPECT_NE(points.out.find("Z"), std::string::npos) << points.out;
  EXPECT_TRUE(server.Log().empty());
  // What is known goes with the vault.
  EXPECT_EQ(cli.Run("vault disconnect azure --yes").exit_code, 0);
  cli.Json("vault connect azure --target " + Url());
  EXPECT_EQ(cli.RunWords({"__complete", "--", "points", "list", ""}).out.find("web"),
            std::string::npos);
}

}  // namespace
}  // namespace asr
