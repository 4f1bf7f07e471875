// The whole of it: live guests on a schedule, and points of theirs that boot elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include "tests/support/asr_process.h"
#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

class LibvirtProofTest : public ::testing::Test {
 protected:
  LiveWorld world_;
};

// Nightly each of them is booted.
TEST_F(LibvirtProofTest, TwentyDeltasRestoreAndBootFromAFreshStateDirectory) {
  LibvirtGuest guest({.name = "web", .starts_from_disk = true});
  guest.Start();
  guest.WaitForAgent();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  std::vector<std::pair<std::string, std::int64_t>> points;
  for (int i = 0; i < 20; ++i) {
    const std::int64_t synced = guest.WaitForMoreSynced(2);
    const bool is_frozen = i == 10;
    const Json replicated =
        world_.AsrJson(is_frozen ? "replicate web --app-consistent" : "replicate web");
    EXPECT_THAT(world_.said(), IsEmpty());
    EXPECT_EQ(replicated.at("point").at("consistency"), is_frozen ? "app" : "crash");
    points.emplace_back(replicated.at("point").at("id").get<std::string>(), synced);
  }
  EXPECT_EQ(guest.State(), "running");
  for (std::size_t i = 0; i < points.size(); ++i) {
    const auto& [point, synced] = points[i];
    const GuestJournal journal =
        world_.Restore(guest, point, i == 10 ? JournalState::kFrozen : JournalState::kCrash);
    EXPECT_EQ(journal.problem, "") << point;
    EXPECT_GE(journal.SyncedNumber(), synced) << point;
  }
  const std::string fresh = world_.directory() / "fresh";
  const auto asr = [&](const std::string& words) {
    return MustRunShell(fmt::format("{} {} --state-dir {} -y", ASR_BINARY, words, fresh));
  };
  asr("vault connect lab --target " + world_.directory() / "vault");
  const bool boots_all = std::getenv("ASR_NIGHTLY") != nullptr;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (!boots_all && i != 0 && i != 10 && i + 1 != points.size()) continue;
    const std::string tested =
        asr(fmt::format("test-failover web --point {} --serial-text 'synced ' --wait-seconds 120",
                        points[i].first));
    EXPECT_THAT(tested, HasSubstr("Succeeded"));
    asr("test-failover-cleanup web");
  }
}

// Nightly for three minutes.
TEST_F(LibvirtProofTest, TenLiveVmsEveryFiveSecondsMissNoCycle) {
  constexpr int kVms = 10;
  const std::chrono::seconds duration{std::getenv("ASR_NIGHTLY") != nullptr ? 180 : 30};
  world_.Asr("policy set fast --frequency 5s --retention 1h");
  std::vector<std::unique_ptr<LibvirtGuest>> guests;
  for (int i = 0; i < kVms; ++i) {
    guests.push_back(std::make_unique<LibvirtGuest>(
        LabGuestSpec{.name = fmt::format("vm{}", i), .interval_ms = 500}));
    guests.back()->Start();
    guests.back()->WaitForSynced(1);
  }
  for (const auto& guest : guests) world_.AsrJson("enable " + guest->name() + " --policy fast");
  const std::string log = world_.directory() / "log";
  AsrProcess agent({"agent", "run", "--state-dir", world_.state_directory()}, log);
  std::this_thread::sleep_for(duration);
  const Json status = world_.AsrJson("agent status");
  std::vector<std::int64_t> synced;
  for (const auto& guest : guests) synced.push_back(guest->LastSynced());
  agent.Signal(SIGTERM);
  EXPECT_EQ(agent.Wait(), 0) << RunShell("cat " + log).text;
  ASSERT_EQ(status.at("items").size(), std::size_t{kVms});
  const auto least_cycles = static_cast<std::size_t>(duration.count() / 5);  // and that of enable
  for (const Json& item : status.at("items")) {
    const std::string name = item.at("name");
    EXPECT_EQ(item.at("missedCycles"), 0) << item << RunShell("cat " + log).text;
    EXPECT_TRUE(item.at("retry").is_null()) << item;
    EXPECT_EQ(world_.AsrJson("jobs list --state Failed --item " + name).size(), 0U);
    EXPECT_GE(world_.AsrJson("points list " + name).size(), least_cycles) << name;
  }
  for (int i = 0; i < kVms; ++i) EXPECT_EQ(guests[static_cast<std::size_t>(i)]->State(), "running");
  // The last cycle of each began at most five seconds, and some, before the end.
  const GuestJournal journal = world_.Restore(
      *guests[3], world_.AsrJson("points list vm3")[0].at("id"), JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber() + 16, synced[3]);
}

}  // namespace
}  // namespace asr::testing
