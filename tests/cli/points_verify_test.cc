// asr points verify
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

class PointsVerifyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    lab.Replicate(1);
    lab.Replicate(2);
    for (const PointId& point : lab.points()) points.push_back(point.value);
  }

  // Overwrites a byte of a file of the item with 'X'; the lab's disks hold none there.
  void Damage(const std::string& name, std::uint64_t offset) {
    const std::string path = lab.ItemPath(name);
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    file << 'X';
    ASSERT_TRUE(file.flush().good()) << path;
  }

  // The job of a verify that finds damage.
  Json FailedJob(const std::string& line) {
    const CommandResult result = lab.cli.Run(line + " -o json");
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_EQ(result.ErrJson()["error"]["code"], "ASR2302");
    Json job = result.OutJson();
    EXPECT_EQ(job["state"], "Failed");
    EXPECT_EQ(job["error"]["code"], "ASR2302");
    return job;
  }

  static std::vector<std::string> StatesOf(const Json& job) {
    std::vector<std::string> states;
    for (const Json& task : job["tasks"]) states.push_back(task["state"]);
    return states;
  }

  ProtectedLab lab;
  std::vector<std::string> points;  // newest first
};

TEST_F(PointsVerifyTest, ProvesEveryPointNewestFirst) {
  const Json job = lab.cli.Json("points verify web");
  EXPECT_EQ(job["type"], "VerifyPoints");
  EXPECT_EQ(job["state"], "Succeeded");
  ASSERT_EQ(job["tasks"].size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(job["tasks"][i]["name"], "Verify point " + points[i]);
    EXPECT_FALSE(lab.cli.Json("points show web " + points[i])["proof"]["verifiedAt"].is_null());
  }
  EXPECT_EQ(lab.vault->ListPins(lab.item().id, SystemClock().Now()).value().pins.size(), 0U);
}

TEST_F(PointsVerifyTest, VerifiesOnePoint) {
  const Json job = lab.cli.Json("points verify web " + points[1]);
  ASSERT_EQ(job["tasks"].size(), 1U);
  EXPECT_TRUE(lab.cli.Json("points show web " + points[0])["proof"].is_null());
  EXPECT_FALSE(lab.cli.Json("points show web " + points[1])["proof"].is_null());
  EXPECT_EQ(lab.cli.Json("points verify web latest")["tasks"][0]["name"],
            "Verify point " + points[0]);
}

TEST_F(PointsVerifyTest, ADamagedChunkIsNamedWithThePointsThatShareIt) {
  // Chunk 20 was the same at all times; chunk 4 was changed by the first delta.
  Damage("disks/root.vhd", 20 * 65536 + 5);
  Damage("disks/root.vhd", 4 * 65536 + 100);
  const Json job = FailedJob("points verify web");
  EXPECT_THAT(StatesOf(job), ElementsAre("Failed", "Failed", "Failed"));
  EXPECT_THAT(job["error"]["message"].get<std::string>(),
              AllOf(HasSubstr(points[0]), HasSubstr("VM web"), HasSubstr("disk root"),
                    HasSubstr("2 chunks"), HasSubstr("at offset 262144"),
                    HasSubstr("3 points are damaged")));
  EXPECT_FALSE(job["error"]["causes"].empty());
  EXPECT_THAT(job["error"]["action"].get<std::string>(), HasSubstr("asr resync web --now --deep"));
  // The oldest point has what the first delta changed in its own undo file.
  EXPECT_THAT(job["tasks"][2]["error"]["message"].get<std::string>(),
              AllOf(HasSubstr(points[2]), HasSubstr("1 chunk of"), HasSubstr("offset 1310720")));
  EXPECT_TRUE(lab.cli.Json("points show web")["proof"].is_null());
}

TEST_F(PointsVerifyTest, ADamagedPointDoesNotHideTheOthers) {
  // What the newest point alone holds.
  Damage("disks/root.vhd", 600'000 + 50'000);
  const Json job = FailedJob("points verify web");
  EXPECT_THAT(StatesOf(job), ElementsAre("Failed", "Succeeded", "Succeeded"));
  EXPECT_THAT(
      job["error"]["action"].get<std::string>(),
      AllOf(HasSubstr("asr restore web --to DIR --point " + points[1]), HasSubstr(points[2])));
  EXPECT_TRUE(lab.cli.Json("points show web " + points[0])["proof"].is_null());
  EXPECT_FALSE(lab.cli.Json("points show web " + points[2])["proof"].is_null());
  EXPECT_EQ(lab.cli.Run("points verify web " + points[2]).exit_code, 0);
}

TEST_F(PointsVerifyTest, BytesBehindTheDisksEndAndTheFooterCount) {
  Damage("disks/root.vhd", 3 * kMiB + 600);  // in the disk's last chunk
  EXPECT_THAT(FailedJob("points verify web latest")["error"]["message"].get<std::string>(),
              HasSubstr("1 chunk of 64 KiB does not hold what was replicated, the first at offset "
                        "3145728"));
  Damage("disks/root.vhd", 4 * kMiB - 1);  // padding alone
  EXPECT_THAT(FailedJob("points verify web latest")["error"]["message"].get<std::string>(),
              HasSubstr("2 chunks"));
  Damage("disks/data.vhd", kMiB + 400);
  EXPECT_THAT(FailedJob("points verify web latest")["error"]["message"].get<std::string>(),
              HasSubstr("disk data: the footer"));
}

TEST_F(PointsVerifyTest, ADamagedDocumentCountsAsADamagedPoint) {
  lab.cli.WriteFile("vault/items/" + lab.item().id.value + "/points/" + points[1] + ".json", "{");
  const Json job = FailedJob("points verify web");
  EXPECT_THAT(StatesOf(job), ElementsAre("Succeeded", "Failed", "Succeeded"));
  EXPECT_THAT(job["error"]["message"].get<std::string>(),
              AllOf(HasSubstr(points[1]), HasSubstr("document")));
  EXPECT_EQ(lab.cli.Run("points verify web " + points[1]).exit_code, 1);
}

TEST_F(PointsVerifyTest, AMissingUndoFileDamagesItsPointAndOlderOnes) {
  std::filesystem::remove(lab.ItemPath("disks/data.vhd.undo/" + points[1]));
  EXPECT_THAT(StatesOf(FailedJob("points verify web")),
              ElementsAre("Succeeded", "Failed", "Failed"));
}

TEST_F(PointsVerifyTest, TheDryRunTellsWhatWillBeRead) {
  const Json plan = lab.cli.Json("points verify web --dry-run");
  ASSERT_EQ(plan["plan"].size(), 6U);
  EXPECT_THAT(plan["plan"][0]["step"].get<std::string>(), HasSubstr(points[0]));
  EXPECT_GE(plan["plan"][1]["bytes"], 3 * kMiB);
  EXPECT_LT(plan["plan"][3]["bytes"], kMiB);  // only what the second delta changed
  EXPECT_EQ(lab.cli.Json("jobs list").size(), 3U);
}

TEST_F(PointsVerifyTest, AStopEndsIt) {
  lab.cli.stop.request_stop();
  const CommandResult result = lab.cli.Run("points verify web -o json");
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.OutJson()["state"], "Cancelled");
}

TEST_F(PointsVerifyTest, NeedsNoLease) {
  const auto lease = lab.vault->LeaseItem(lab.item());
  ASSERT_TRUE(lease.has_value());
  EXPECT_EQ(lab.cli.Run("points verify web").exit_code, 0);
}

TEST_F(PointsVerifyTest, AVmWithoutPointsIs3) {
  for (const PointId& point : lab.points()) lab.Remove(point);
  EXPECT_EQ(lab.cli.Run("points verify web").exit_code, 3);
}

}  // namespace
}  // namespace asr::testing
