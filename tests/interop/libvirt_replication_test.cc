// Live guests, replicated by the executable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Json = LiveWorld::Json;

class LibvirtReplicationTest : public ::testing::Test {
 protected:
  LiveWorld world_;
};

std::string PointOf(const Json& replicated) {
  return replicated.at("point").at("id").get<std::string>();
}

TEST_F(LibvirtReplicationTest, DeltasOfARunningGuestHoldWhatWasSyncedBeforeThem) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {.format = "raw"}, {}, {}}});
  guest.Start();
  guest.WaitForSynced(10);
  const Json vms = world_.AsrJson("vm list --host kvm1");
  ASSERT_EQ(vms.size(), 1u);
  EXPECT_EQ(vms[0].at("state"), "Running");
  EXPECT_TRUE(vms[0].at("protectable").get<bool>());
  EXPECT_EQ(vms[0].at("disks").size(), 4u);
  world_.AsrJson("enable web --policy gold");
  const std::int64_t before_first = guest.LastSynced();
  std::vector<std::pair<std::string, std::int64_t>> points;
  for (int i = 0; i < 5; ++i) {
    guest.WaitForMoreSynced(3);
    const std::int64_t synced = guest.LastSynced();
    const Json replicated = world_.AsrJson("replicate web");
    EXPECT_TRUE(replicated.at("point").at("new").get<bool>());
    EXPECT_THAT(world_.said(), IsEmpty());
    points.emplace_back(PointOf(replicated), synced);
  }
  EXPECT_GT(before_first, 0);
  EXPECT_EQ(guest.State(), "running");
  for (const auto& [point, synced] : points) {
    const GuestJournal journal = world_.Restore(guest, point, JournalState::kCrash);
    EXPECT_EQ(journal.problem, "") << point;
    EXPECT_GE(journal.SyncedNumber(), synced) << point;
  }
  world_.Asr("points verify web");
  // One checkpoint is all that stays on the guest, and no scratch file.
  EXPECT_EQ(MustRunShell("virsh -c qemu:///system checkpoint-list web --name | grep -c ^asr-"),
            "1\n");
  EXPECT_EQ(MustRunShell(fmt::format("ls {} | grep -c -e scratch -e hrl || true",
                                     guest.directory())),
            "0\n");
}

TEST_F(LibvirtReplicationTest, TimeOfACycle) {
  LibvirtGuest guest({.name = "web", .disks = {{.size_bytes = kGiB}}});
  guest.Start();
  guest.WaitForSynced(10);
  world_.AsrJson("enable web --policy gold");
  guest.StopWriting();
  for (int i = 0; i < 6; ++i) {
    guest.WriteRandomFile("/data/random", kMiB);
    const auto start = std::chrono::steady_clock::now();
    const Json replicated = world_.AsrJson("replicate web");
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    fmt::print("{:.3f} s: {}\n", took.count(), replicated.at("job").dump());
  }
}

}  // namespace
}  // namespace asr::testing
