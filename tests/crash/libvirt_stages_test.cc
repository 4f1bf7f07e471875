// kill -9 in each stage of what takes longer than a cycle: an initial replication, a delta that the
// agent runs, the sending of what was logged in an outage. The moments are spread over its length.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <thread>

#include "tests/support/live_outage_fixture.h"

namespace asr::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

class LibvirtStagesTest : public LiveOutageFixture {
 protected:
  AsrProcess Start(std::vector<std::string> words) {
    words.insert(words.end(), {"--state-dir", world_.state_directory(), "-y"});
    return AsrProcess(words, world_.directory() / "output");
  }
  std::unique_ptr<AsrProcess> StartAgentAndWait() {
    auto agent = std::make_unique<AsrProcess>(
        std::vector<std::string>{"agent", "run", "--state-dir", world_.state_directory()},
        world_.directory() / "log");
    EXPECT_TRUE(BecomesTrue([&] { return world_.TryAsr("agent status").exit_code == 0; })) << Log();
    return agent;
  }
  // Without the job that libvirt may have lost when it was killed, as the error's text says.
  void EnableAnew() {
    CommandOutput enabled = world_.TryAsr("enable web --policy gold");
    if (enabled.text.find("knows nothing of it") != std::string::npos) {
      KillLibvirtd();
      MustRunShell("sed -i \"/async='backup'/d\" /run/libvirt/qemu/web.xml");
      RestartLibvirtd();
      enabled = world_.TryAsr("enable web --policy gold");
    }
    EXPECT_EQ(enabled.exit_code, 0) << enabled.text;
  }
  static bool HasJob() { return TryVirsh({"backup-dumpxml", "web"}).exit_code == 0; }
  static void ExpectNoJobForLong() {
    EXPECT_TRUE(BecomesTrue([] { return !HasJob(); }, 60));
  }
  // What the line takes about two and a half seconds for.
  static void Fill(const LibvirtGuest& guest) { guest.WriteRandomFile("/data/large", 12 * kMiB); }
  void SlowDown() { world_.Asr("throttle set --work-mbps 40 --other-mbps 40"); }
};

constexpr int kWholeMs = 3200;

TEST_F(LibvirtStagesTest, AnInitialReplicationWhoseAsrIsKilledGoesOn) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {.format = "raw"}}});
  guest.Start();
  guest.WaitForSynced(5);
  Fill(guest);
  SlowDown();
  int killed = 0;
  for (int delay_ms = 30; delay_ms < kWholeMs; delay_ms += 310) {
    AsrProcess enabling = Start({"enable", "web", "--policy", "gold"});
    std::this_thread::sleep_for(milliseconds(delay_ms));
    killed += enabling.Kill() ? 1 : 0;
    EXPECT_EQ(guest.State(), "running") << delay_ms;
    guest.WaitForMoreSynced(2);
  }
  EXPECT_GE(killed, 7);
  ExpectNoJobForLong();
  world_.Asr("throttle clear");
  world_.AsrJson("enable web --policy gold");
  world_.ExpectGoesOn(guest);
}

TEST_F(LibvirtStagesTest, AnInitialReplicationOutlivesLibvirtdAndQemu) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  Fill(guest);
  const std::function<void()> kills[] = {[] {
                                           KillLibvirtd();
                                           RestartLibvirtd();
                                         },
                                         [&] { guest.KillQemu(); }};
  for (int delay_ms = 60; delay_ms < kWholeMs; delay_ms += 440) {
    SlowDown();
    AsrProcess enabling = Start({"enable", "web", "--policy", "gold"});
    std::this_thread::sleep_for(milliseconds(delay_ms));
    const bool is_qemu = delay_ms / 440 % 2 == 1;
    kills[is_qemu ? 1 : 0]();
    const bool is_enabled = enabling.Wait() == 0;
    if (is_qemu) guest.Start();
    guest.WaitForMoreSynced(2);
    world_.Asr("throttle clear");
    if (!is_enabled) EnableAnew();
    world_.ExpectGoesOn(guest);
    world_.AsrJson("disable web");
  }
}

TEST_F(LibvirtStagesTest, ADeltaWhoseAgentIsKilledIsReplicated) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.Asr("policy set slow --frequency 12h --retention 24h");
  world_.AsrJson("enable web --policy slow");
  for (int delay_ms = 250; delay_ms < 2200; delay_ms += 270) {
    guest.WriteRandomFile("/data/large", 6 * kMiB);
    SlowDown();
    const auto agent = StartAgentAndWait();
    AsrProcess command = Start({"replicate", "web"});
    std::this_thread::sleep_for(milliseconds(delay_ms));
    agent->Kill();
    // What the agent did not finish, it does.
    EXPECT_EQ(command.Wait(), 0) << delay_ms
                                 << MustRunShell("cat " + world_.directory() / "output");
    EXPECT_EQ(guest.State(), "running") << delay_ms;
    guest.WaitForMoreSynced(2);
  }
  world_.Asr("throttle clear");
  const auto agent = StartAgentAndWait();
  ExpectNoJobForLong();
  world_.ExpectGoesOn(guest);
  world_.Asr("points verify web");
}

TEST_F(LibvirtStagesTest, SetsOfAnOutageBecomePointsHoweverOftenTheirSenderIsKilled) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {}}});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("replicate web");
  const std::size_t before = PointCount();
  Open();
  SetVaultAway(true);
  std::vector<std::int64_t> synced;
  for (int i = 0; i < 4; ++i) {
    guest.WriteRandomFile("/data/some", 2 * kMiB);
    synced.push_back(guest.WaitForMoreSynced(3));
    ReplicateInVain();
  }
  EXPECT_EQ(WaitingSets(), 4U);
  vault_.reset();
  SetVaultAway(false);
  SlowDown();
  int killed = 0;
  for (int delay_ms = 40; delay_ms < 2400; delay_ms += 260) {
    AsrProcess sending = delay_ms / 260 % 2 == 0 ? Start({"replicate", "web"}) : StartAgent();
    std::this_thread::sleep_for(milliseconds(delay_ms));
    killed += sending.Kill() ? 1 : 0;
  }
  EXPECT_GE(killed, 6);
  world_.Asr("throttle clear");
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  EXPECT_EQ(WaitingSets(), 0U);
  const Json points = world_.AsrJson("points list web");  // the newest first
  ASSERT_GE(points.size(), before + 5);
  for (std::size_t i = 0; i < synced.size(); ++i) {
    const std::string id = points[points.size() - 1 - before - i].at("id");
    const GuestJournal journal = world_.Restore(guest, id, JournalState::kCrash);
    EXPECT_EQ(journal.problem, "") << id;
    EXPECT_GE(journal.SyncedNumber(), synced[i]) << id;
    if (i + 1 == synced.size()) continue;
    EXPECT_LT(journal.SyncedNumber(), synced[i + 1]) << id;
  }
  world_.ExpectGoesOn(guest);
  world_.Asr("points verify web");
}

}  // namespace
}  // namespace asr::testing
