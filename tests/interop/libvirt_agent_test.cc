// The agent with VMs that change their state, and items that lose theirs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/base/clock.h"
#include "tests/support/asr_process.h"
#include "tests/support/becomes_true.h"
#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Json = LiveWorld::Json;

class LibvirtAgentTest : public ::testing::Test {
 protected:
  LiveWorld world_;
};

TEST_F(LibvirtAgentTest, AVmThatIsStartedDuringItsEnableIsLookedAtOnceMore) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(1);
  guest.WriteRandomFile("/data/random", 64 * kMiB);
  guest.Shutdown();
  // A line on which that takes six seconds.
  world_.Asr("throttle set --work-mbps 80 --other-mbps 80");
  const std::string log = world_.directory() / "log";
  AsrProcess agent({"agent", "run", "--state-dir", world_.state_directory()}, log);
  EXPECT_TRUE(BecomesTrue([&] { return world_.TryAsr("agent status").exit_code == 0; }));
  const std::string id =
      world_.AsrJson("enable web --policy gold --no-wait").at("id").get<std::string>();
  const auto job = [&] { return world_.AsrJson("jobs show " + id); };
  ASSERT_TRUE(BecomesTrue([&] {
    const Json now = job();
    for (const Json& task : now.at("tasks")) {
      if (task.at("bytesDone") > 0) return true;
    }
    return false;
  })) << job();
  guest.Start();
  ASSERT_TRUE(BecomesTrue([&] { return job().at("state") != "InProgress"; }, 120)) << job();
  EXPECT_EQ(job().at("state"), "Succeeded") << job();
  EXPECT_EQ(guest.State(), "running");
  int snapshots = 0;
  const Json ended = job();
  for (const Json& task : ended.at("tasks")) {
    if (task.at("name") == "Take snapshot") ++snapshots;
  }
  EXPECT_GE(snapshots, 2) << job();
  agent.Signal(SIGTERM);
  EXPECT_EQ(agent.Wait(), 0);
  world_.Asr("throttle clear");
  const std::int64_t synced = guest.WaitForMoreSynced(2);
  const Json point = world_.AsrJson("replicate web").at("point").at("id");
  EXPECT_GE(world_.Restore(guest, point, JournalState::kCrash).SyncedNumber(), synced);
}

TEST_F(LibvirtAgentTest, OfADamagedItemThatIsDeletedNothingStaysOnTheVm) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(1);
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("replicate web");
  const auto checkpoints = [] { return Virsh({"checkpoint-list", "web", "--name"}); };
  EXPECT_THAT(checkpoints(), HasSubstr("asr-"));
  const std::string items = world_.directory() / "vault/items";
  MustRunShell("for document in " + items + "/*/item.json; do echo '{}' > $document; done");
  world_.Asr("items delete web");
  EXPECT_THAT(checkpoints(), Not(HasSubstr("asr-")));
  EXPECT_EQ(guest.State(), "running");
}

}  // namespace
}  // namespace asr::testing
