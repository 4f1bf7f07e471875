// The main job from end to end: protect, replicate, look, restore, stop.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <span>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/image/disk.h"
#include "tests/support/cli_runner.h"
#include "tests/support/qemu_lock.h"

namespace asr::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = nlohmann::ordered_json;

void ExpectSucceeded(const Json& job) {
  EXPECT_EQ(job["state"], "Succeeded");
  EXPECT_TRUE(job["error"].is_null());
  EXPECT_FALSE(job["tasks"].empty());
  for (const Json& task : job["tasks"]) EXPECT_EQ(task["state"], "Succeeded");
}

class MainJobTest : public ::testing::Test {
 protected:
  void SetUp() override { cli.SetUpLab(); }
  void Enable() { ExpectSucceeded(cli.Json("enable web --policy gold")); }
  CliRunner cli;
};

TEST_F(MainJobTest, EnableEndsProtectedWithOnePoint) {
  const Json job = cli.Json("enable web --policy gold");
  ExpectSucceeded(job);
  EXPECT_EQ(job["type"], "EnableProtection");
  EXPECT_EQ(job["item"], "web");
  EXPECT_THAT(job["tasks"].back()["name"].get<std::string>(), HasSubstr("Finalize"));
  const Json item = cli.Json("items show web");
  EXPECT_EQ(item["protectionState"], "Protected");
  EXPECT_EQ(item["replicationHealth"], "Normal");
  EXPECT_LT(item["rpoSeconds"].get<int>(), 60);
  EXPECT_EQ(cli.Json("points list web").size(), 1U);
}

TEST_F(MainJobTest, EnableAgainIsRefused) {
  Enable();
  const CommandResult again = cli.Run("enable web --policy gold -o json");
  EXPECT_EQ(again.exit_code, 4);
  EXPECT_EQ(again.out, "");
  EXPECT_EQ(again.ErrJson()["error"]["code"], "ASR2202");
}

TEST_F(MainJobTest, ReplicateWithoutChangesGivesTheSamePoint) {
  Enable();
  const Json first = cli.Json("points show web");
  const Json outcome = cli.Json("replicate web");
  EXPECT_THAT(Keys(outcome), ElementsAre("point", "job"));
  EXPECT_EQ(outcome["point"]["id"], first["id"]);
  EXPECT_EQ(outcome["point"]["new"], false);
  ExpectSucceeded(outcome["job"]);
}

TEST_F(MainJobTest, ReplicateWithChangesSealsANewPoint) {
  Enable();
  cli.WriteDisk("root.raw", 70000, "changed");
  const Json outcome = cli.Json("replicate web");
  EXPECT_EQ(outcome["point"]["new"], true);
  EXPECT_EQ(outcome["point"]["changedBytes"], 65536);
  const Json points = cli.Json("points list web");
  ASSERT_EQ(points.size(), 2U);
  EXPECT_EQ(points[0]["id"], outcome["point"]["id"]);
  EXPECT_GT(points[0]["id"], points[1]["id"]);
}

TEST_F(MainJobTest, AVmInUseCanBeReplicatedLater) {
  Enable();
  // Half a sector more: as long as nobody writes, a damaged image.
  std::filesystem::resize_file(cli.Path("vms/web/data.raw"), kMiB + 256);
  {
    const QemuLock writer(cli.Path("vms/web/data.raw"));
    for (const char* command : {"replicate web -o json", "replicate web --dry-run -o json"}) {
      const Json error = cli.Run(command).ErrJson()["error"];
      EXPECT_EQ(error["code"], "ASR1107") << error;
      EXPECT_EQ(error["retryable"], true);
      EXPECT_THAT(error["action"].get<std::string>(), HasSubstr("shut the VM down"));
    }
  }
  EXPECT_EQ(cli.Run("replicate web -o json").ErrJson()["error"]["code"], "ASR3103");
  std::filesystem::resize_file(cli.Path("vms/web/data.raw"), kMiB);
  EXPECT_EQ(cli.Run("replicate web").exit_code, 0);
}

TEST_F(MainJobTest, EveryPointIsRestoredBitForBit) {
  Enable();
  const std::string root_before = cli.ReadFile(cli.Path("vms/web/root.raw"));
  const std::string data_before = cli.ReadFile(cli.Path("vms/web/data.raw"));
  const std::string older = cli.Json("points show web")["id"];
  cli.WriteDisk("root.raw", 3 * kMiB, "tail");
  cli.Json("replicate web");
  ExpectSucceeded(cli.Json("restore web --to {dir}/new"));
  ExpectSucceeded(cli.Json("restore web --to {dir}/old --point " + older));
  EXPECT_EQ(cli.ReadFile(cli.Path("new/root.raw")), cli.ReadFile(cli.Path("vms/web/root.raw")));
  EXPECT_EQ(cli.ReadFile(cli.Path("old/root.raw")), root_before);
  EXPECT_EQ(cli.ReadFile(cli.Path("old/data.raw")), data_before);
}

TEST_F(MainJobTest, RestoreWritesQcow2) {
  Enable();
  ExpectSucceeded(cli.Json("restore web --to {dir}/out --disk root --format qcow2"));
  const Json disk = cli.Json("disk show {dir}/out/root.qcow2");
  EXPECT_EQ(disk["format"], "qcow2");
  const std::string compare = "qemu-img compare -q -f raw -F qcow2 " +
                              cli.Path("vms/web/root.raw") + " " + cli.Path("out/root.qcow2");
  EXPECT_EQ(std::system(compare.c_str()), 0);
}

TEST_F(MainJobTest, RestoreWritesOnlyTheChosenDisksInTheChosenFormat) {
  Enable();
  ExpectSucceeded(cli.Json("restore web --to {dir}/out --disk data --format vhd"));
  EXPECT_TRUE(std::filesystem::exists(cli.Path("out/data.vhd")));
  EXPECT_FALSE(std::filesystem::exists(cli.Path("out/root.vhd")));
}

TEST_F(MainJobTest, RestoreWritesADynamicVhdUnderTheEndingOfEveryVhd) {
  Enable();
  ExpectSucceeded(cli.Json("restore web --to {dir}/out --disk root --format vhd-dynamic"));
  const auto disk = OpenDisk(PosixFileSystem(), cli.Path("out/root.vhd"));
  ASSERT_TRUE(disk.has_value()) << disk.error().Line();
  EXPECT_EQ((*disk)->format(), ImageFormat::kVhdDynamic);
  const std::string source = cli.ReadFile(cli.Path("vms/web/root.raw"));
  ASSERT_EQ((*disk)->size_bytes(), source.size());
  std::string restored(source.size(), ' ');
  ASSERT_TRUE((*disk)->Read(0, std::as_writable_bytes(std::span(restored))).has_value());
  EXPECT_TRUE(restored == source);
}

TEST_F(MainJobTest, RestoreReplacesFilesOnlyWithForce) {
  Enable();
  cli.Json("restore web --to {dir}/out");
  EXPECT_EQ(cli.Run("restore web --to {dir}/out").exit_code, 4);
  EXPECT_EQ(cli.Run("restore web --to {dir}/out --force").exit_code, 0);
}

TEST_F(MainJobTest, HeldPointsAreMarkedUntilReleased) {
  Enable();
  EXPECT_EQ(cli.Json("points hold web latest")["held"], true);
  EXPECT_EQ(cli.Json("points hold web latest")["held"], true);
  EXPECT_EQ(cli.Json("points list web")[0]["held"], true);
  EXPECT_EQ(cli.Json("items show web")["latestPoint"]["held"], true);
  EXPECT_EQ(cli.Json("points release web latest")["held"], false);
  EXPECT_EQ(cli.Json("points show web")["held"], false);
}

TEST_F(MainJobTest, KeptDataCanBeRestoredAndThenDeleted) {
  Enable();
  ExpectSucceeded(cli.Json("disable web --keep-data"));
  const Json item = cli.Json("items show web");
  EXPECT_EQ(item["protectionState"], "Unprotected");
  EXPECT_TRUE(item["rpoSeconds"].is_null());
  ExpectSucceeded(cli.Json("restore web --to {dir}/out"));
  EXPECT_EQ(cli.Run("replicate web").exit_code, 4);
  ExpectSucceeded(cli.Json("items delete web --yes"));
  EXPECT_EQ(cli.Run("items show web").exit_code, 3);
}

TEST_F(MainJobTest, DisableRemovesTheReplica) {
  Enable();
  ExpectSucceeded(cli.Json("disable web -y"));
  EXPECT_EQ(cli.Json("items list"), Json::array());
  EXPECT_EQ(cli.Run("policy delete gold").exit_code, 0);
}

TEST_F(MainJobTest, AProtectedItemIsNotDeletedByItsName) {
  Enable();
  EXPECT_EQ(cli.Run("items delete web -y").exit_code, 4);
  EXPECT_EQ(cli.Json("items list").size(), 1U);
}

TEST_F(MainJobTest, AVaultIsEnoughToRecoverElsewhere) {
  Enable();
  cli.variables["ASR_STATE_DIR"] = cli.Path("other-state");
  cli.Json("vault connect dr --target {dir}/vault");
  ExpectSucceeded(cli.Json("restore web --to {dir}/out"));
  EXPECT_EQ(cli.ReadFile(cli.Path("out/data.raw")), cli.ReadFile(cli.Path("vms/web/data.raw")));
}

TEST_F(MainJobTest, ADamagedPointHidesNoOther) {
  Enable();
  cli.WriteDisk("data.raw", 0, "changed");
  const std::string older = cli.Json("points list web")[0]["id"];
  const std::string newer = cli.Json("replicate web")["point"]["id"];
  const std::string item = cli.Json("items show web")["id"];
  cli.WriteFile("vault/items/" + item + "/points/" + older + ".json", "{");
  const CommandResult list = cli.Run("points list web -o json");
  EXPECT_EQ(list.exit_code, 0);
  ASSERT_EQ(list.OutJson().size(), 1U);
  EXPECT_EQ(list.OutJson()[0]["id"], newer);
  EXPECT_THAT(list.err, HasSubstr(older));
  ExpectSucceeded(cli.Json("restore web --to {dir}/out"));
  EXPECT_NE(cli.Run("restore web --to {dir}/old --point " + older).exit_code, 0);
  cli.WriteDisk("data.raw", 0, "again");
  EXPECT_EQ(cli.Json("replicate web")["point"]["new"], true);
  EXPECT_TRUE(
      std::filesystem::exists(cli.Path("vault/items/" + item + "/points/" + older + ".json")));
}

TEST_F(MainJobTest, ADamagedItemHidesNoOther) {
  std::filesystem::copy(cli.Path("vms/web"), cli.Path("vms/mail"));
  Enable();
  ExpectSucceeded(cli.Json("enable mail --policy gold"));
  const std::string mail = cli.Json("items show mail")["id"];
  cli.WriteFile("vault/items/" + mail + "/item.json", "");
  const CommandResult list = cli.Run("items list -o json");
  EXPECT_EQ(list.exit_code, 0);
  ASSERT_EQ(list.OutJson().size(), 1U);
  EXPECT_EQ(list.OutJson()[0]["name"], "web");
  EXPECT_THAT(list.err, HasSubstr(mail));
  ExpectSucceeded(cli.Json("restore web --to {dir}/out"));
  EXPECT_THAT(cli.Run("replicate mail").err, HasSubstr(mail));
  // Or a second replica of the same VM would be made, or its policy be taken away.
  EXPECT_THAT(cli.Run("enable mail --policy gold").err, HasSubstr(mail));
  ExpectSucceeded(cli.Json("disable web -y"));
  EXPECT_THAT(cli.Run("policy delete gold").err, HasSubstr(mail));
}

TEST_F(MainJobTest, ADamagedNewestPointMakesTheItemCritical) {
  Enable();
  const Json item = cli.Json("items show web");
  const std::string point = item["latestPoint"]["id"];
  cli.WriteFile("vault/items/" + item["id"].get<std::string>() + "/points/" + point + ".json", "");
  const Json list = cli.Json("items list");
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0]["replicationHealth"], "Critical");
  EXPECT_THAT(list[0]["healthErrors"][0]["message"].get<std::string>(), HasSubstr(point));
}

TEST_F(MainJobTest, JobsAreListedNewestFirstAndShown) {
  Enable();
  cli.Json("replicate web");
  const Json jobs = cli.Json("jobs list");
  ASSERT_EQ(jobs.size(), 2U);
  EXPECT_EQ(jobs[0]["type"], "Replicate");
  EXPECT_EQ(jobs[1]["type"], "EnableProtection");
  EXPECT_EQ(cli.Json("jobs show " + jobs[0]["id"].get<std::string>()), jobs[0]);
  EXPECT_EQ(cli.Json("jobs list --limit 1").size(), 1U);
  EXPECT_EQ(cli.Json("jobs list --state Failed"), Json::array());
  EXPECT_EQ(cli.Json("jobs list --item lab/web").size(), 2U);
  EXPECT_EQ(cli.Json("jobs list --item other"), Json::array());
}

TEST_F(MainJobTest, AFailedJobIsPrintedAndItsErrorToo) {
  Enable();
  std::filesystem::remove(cli.Path("vms/web/data.raw"));
  const CommandResult result = cli.Run("replicate web -o json");
  EXPECT_NE(result.exit_code, 0);
  EXPECT_EQ(result.OutJson()["job"]["state"], "Failed");
  EXPECT_EQ(result.OutJson()["job"]["error"]["code"], result.ErrJson()["error"]["code"]);
  EXPECT_NE(cli.Json("items show web")["replicationHealth"], "Normal");
}

TEST_F(MainJobTest, AnInterruptedJobEndsWith130AndGoesOnLater) {
  cli.stop.request_stop();
  const CommandResult result = cli.Run("enable web --policy gold -o json");
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.OutJson()["state"], "Cancelled");
  EXPECT_EQ(result.ErrJson()["error"]["code"], "ASR5004");
  cli.stop = std::stop_source();
  Enable();
}

TEST_F(MainJobTest, AnUnreadableImageIsListedButCannotBeProtected) {
  std::filesystem::create_directories(cli.Path("vms/broken"));
  std::filesystem::copy_file(cli.Path("vms/web/data.raw"), cli.Path("vms/broken/disk.vhdx"));
  const Json vms = cli.Json("vm list");
  ASSERT_EQ(vms.size(), 2U);
  EXPECT_EQ(vms[0]["name"], "broken");
  EXPECT_EQ(vms[0]["protectable"], false);
  EXPECT_FALSE(vms[0]["reasons"].empty());
  const CommandResult check = cli.Run("check broken -o json");
  EXPECT_EQ(check.exit_code, 4);
  EXPECT_EQ(check.OutJson()[0]["verdict"], "failed");
  EXPECT_EQ(cli.Run("enable broken --policy gold").exit_code, 4);
  EXPECT_EQ(cli.Json("items list"), Json::array());
}

TEST_F(MainJobTest, AGuestThatDoesNotLiveFailsTheTestFailoverAndLeavesNothing) {
  Enable();
  const CommandResult result =
      cli.Run("test-failover web --serial-text never --wait-seconds 1 -o json");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.OutJson()["state"], "Failed");
  EXPECT_EQ(result.ErrJson()["error"]["code"], "ASR4004");
  const Json item = cli.Json("items show web");
  EXPECT_EQ(item["testFailoverState"], "None");
  EXPECT_EQ(item["latestPoint"]["proof"]["booted"], false);
  EXPECT_THAT(cli.Tree("state/test-failovers"), IsEmpty());
  EXPECT_EQ(cli.Run("test-failover-cleanup web").exit_code, 4);
}

}  // namespace
}  // namespace asr::testing
