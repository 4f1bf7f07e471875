// What `asr vault disconnect` would leave unsent, and what a busy disk makes others read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "core/jobs/log_sets.h"
#include "tests/support/protected_lab.h"

namespace asr::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DisconnectTest, AsksWhileChangesWait) {
  ProtectedLab lab;
  const Item item = lab.item();
  LogSet set{.point = lab.vault->ReadPoint(item.id, lab.points()[0]).value(), .disks = {}};
  for (std::size_t i = 0; i < set.point.disks.size(); ++i) {
    const std::string name = "log" + std::to_string(i) + ".hrl";
    lab.cli.WriteFile(name, std::string(kMiB, 'x'));
    set.disks.push_back({.log_path = lab.cli.Path(name)});
  }
  LogSets sets(PosixFileSystem(),
               lab.cli.Path("state/changes/" + lab.vault->identity().id + "/" + item.id.value));
  ASSERT_TRUE(sets.Announce(set).has_value());
  EXPECT_TRUE(lab.cli.Json("items show web")["backlogBytes"].is_null());
  ASSERT_TRUE(sets.Commit(set).has_value());
  EXPECT_EQ(lab.cli.Json("items show web")["backlogBytes"], 2 * kMiB);
  EXPECT_EQ(lab.cli.Json("status")["backlogBytes"], 2 * kMiB);
  for (const bool reachable : {true, false}) {
    if (!reachable) std::filesystem::rename(lab.cli.Path("vault"), lab.cli.Path("elsewhere"));
    const std::string name = reachable ? "web (" : item.id.value;
    const CommandResult refused = lab.cli.Run("vault disconnect main");
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, AllOf(HasSubstr(name), HasSubstr("2.0 MiB")));
    EXPECT_THAT(lab.cli.Run("vault disconnect main --dry-run").err, HasSubstr(name));
  }
  EXPECT_EQ(lab.cli.Json("vault list").size(), 1U);
  EXPECT_EQ(lab.cli.Run("vault disconnect main --yes").exit_code, 0);
  EXPECT_EQ(lab.cli.Json("vault list").size(), 0U);
}

TEST(DisconnectTest, AsksNothingOtherwise) {
  ProtectedLab lab;
  EXPECT_EQ(lab.cli.Run("vault disconnect main").exit_code, 0);
}

// The small disk is written over, the large one nobody touched.
TEST(BusyDiskTest, MakesNoOtherDiskBeRead) {
  ProtectedLab lab;
  // Stamps are believed of files that were old enough at the last replication.
  SystemClock().SleepSeconds(2.5);
  lab.Replicate(1);
  SystemClock().SleepSeconds(2.5);
  lab.cli.Json("replicate web");
  lab.cli.WriteDisk("data.raw", 0, std::string(900'000, 'z'));
  const CommandResult result = lab.cli.Run("replicate web -o json");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("a resync is required"));
  std::map<std::string, std::uint64_t> read;
  const auto json = result.OutJson();
  for (const auto& task : json["job"]["tasks"]) read[task["name"]] = task["bytesDone"];
  EXPECT_GT(read.at("Resync disk data"), 900'000U);
  EXPECT_EQ(read.at("Resync disk root"), 0U);
  EXPECT_EQ(lab.DamageOfPoints(), std::vector<std::string>());
}

}  // namespace
}  // namespace asr::testing
