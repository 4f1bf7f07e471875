// `asr resync` and `asr vault rollback`, as people and scripts call them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/cli_runner.h"

namespace asr {
namespace {

using testing::CliRunner;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class ResyncTest : public ::testing::Test {
 protected:
  void SetUp() override {
    cli_.SetUpLab();
    cli_.Json("enable web --policy gold");
  }

  std::size_t PointCount() { return cli_.Json("points list web").size(); }

  CliRunner cli_;
};

TEST_F(ResyncTest, NowEndsWithANewPointThoughNothingChanged) {
  const auto job = cli_.Json("resync web --now");
  EXPECT_EQ(job["type"], "Resync");
  EXPECT_EQ(job["state"], "Succeeded");
  EXPECT_EQ(job["stats"]["bytesSent"], 0);
  EXPECT_EQ(PointCount(), 2U);
}

TEST_F(ResyncTest, ScheduledItRunsWithTheNextReplication) {
  const auto item = cli_.Json("resync web --deep");
  EXPECT_EQ(item["resyncState"], "Scheduled");
  EXPECT_EQ(PointCount(), 1U);
  const auto outcome = cli_.Json("replicate web");
  EXPECT_EQ(outcome["point"]["new"], true);
  std::vector<std::string> tasks;
  for (const auto& task : outcome["job"]["tasks"]) tasks.push_back(task["name"]);
  EXPECT_THAT(tasks, ElementsAre("Take snapshot", "Check replica of disk data",
                                 "Check replica of disk root", "Resync disk data",
                                 "Resync disk root", "Seal recovery point", "Apply retention"));
  EXPECT_EQ(cli_.Json("items show web")["resyncState"], "None");
  EXPECT_EQ(cli_.Json("replicate web")["point"]["new"], false);
}

TEST_F(ResyncTest, SendsOnlyWhatDiffers) {
  cli_.WriteDisk("data.raw", 65536, "changed");
  EXPECT_EQ(cli_.Json("resync web --now")["stats"]["bytesSent"], 65536);
}

TEST_F(ResyncTest, DryRunsChangeNothing) {
  const auto before = cli_.Tree("vault");
  const auto plan = cli_.Json("resync web --now --deep --dry-run")["plan"];
  EXPECT_EQ(plan[0]["step"], "Check replica");
  EXPECT_EQ(cli_.Json("vault rollback web --dry-run")["plan"].size(), 2U);
  EXPECT_EQ(cli_.Tree("vault"), before);
}

TEST_F(ResyncTest, OnlyWhatIsProtectedIsResynced) {
  EXPECT_EQ(cli_.Run("resync nobody").exit_code, 3);
  EXPECT_EQ(cli_.Run("resync").exit_code, 2);
  cli_.Json("disable web --keep-data");
  const auto refused = cli_.Run("resync web --now");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.err, HasSubstr("asr enable web"));
}

TEST_F(ResyncTest, RollbackIsAJob) {
  const auto job = cli_.Json("vault rollback web");
  EXPECT_EQ(job["type"], "RollBack");
  EXPECT_EQ(job["state"], "Succeeded");
  EXPECT_EQ(PointCount(), 1U);
  EXPECT_EQ(cli_.Run("vault rollback nobody").exit_code, 3);
}

}  // namespace
}  // namespace asr
