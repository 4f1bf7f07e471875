// Live guests, replicated by the executable.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/asr_process.h"
#include "tests/support/becomes_true.h"
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
  EXPECT_EQ(
      MustRunShell(fmt::format("ls {} | grep -c -e scratch -e hrl || true", guest.directory())),
      "0\n");
}

TEST_F(LibvirtReplicationTest, APointOfAFrozenGuestNeedsNoReplay) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {}}});
  guest.Start();
  guest.WaitForAgent();
  guest.WaitForSynced(10);
  world_.AsrJson("enable web --policy gold");
  const std::int64_t synced = guest.WaitForMoreSynced(2);
  const Json replicated = world_.AsrJson("replicate web --app-consistent");
  EXPECT_EQ(replicated.at("point").at("consistency"), "app");
  EXPECT_THAT(world_.said(), IsEmpty());
  guest.WaitForMoreSynced(2);
  const GuestJournal journal = world_.Restore(guest, "latest-app", JournalState::kFrozen);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), synced);
  // Without its agent, what can be had is had, and it is said why it is not more.
  guest.RunInGuest("killall qemu-ga");
  const Json without = world_.AsrJson("replicate web --app-consistent");
  EXPECT_EQ(without.at("point").at("consistency"), "crash");
  EXPECT_THAT(world_.said(), HasSubstr("crash-consistent, for its file systems were not frozen"));
  guest.WaitForMoreSynced(2);
}

TEST_F(LibvirtReplicationTest, AGuestThatGoesOffAndOnIsFollowed) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {.format = "raw"}}});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  guest.Shutdown();
  const std::int64_t at_shutdown = guest.LastSynced();
  const Json off = world_.AsrJson("replicate web");
  EXPECT_TRUE(off.at("point").at("new").get<bool>());
  EXPECT_THAT(world_.said(), IsEmpty());
  const GuestJournal journal = world_.Restore(guest, PointOf(off), JournalState::kFrozen);
  EXPECT_EQ(journal.problem, "");
  // The writer may have been ended between the sync of a number and saying so.
  EXPECT_GE(journal.SyncedNumber(), at_shutdown);
  EXPECT_LE(journal.SyncedNumber(), at_shutdown + 1);
  const std::string xml = world_.directory() / "web.xml";
  world_.Asr("points show web --domain-xml " + xml);
  // libvirt takes it back.
  Virsh({"define", xml});
  EXPECT_FALSE(world_.AsrJson("replicate web").at("point").at("new").get<bool>());
  guest.Start();
  guest.WaitForMoreSynced(2);
  // The images were written to behind no checkpoint: all is compared once, then changes are known.
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  const std::int64_t synced = guest.WaitForMoreSynced(2);
  const Json on = world_.AsrJson("replicate web");
  EXPECT_EQ(world_.Restore(guest, PointOf(on), JournalState::kCrash).problem, "");
  EXPECT_GE(world_.Restore(guest, PointOf(on), JournalState::kCrash).SyncedNumber(), synced);
}

// Reverting to one fails while changes are tracked: whoever protects the VM is told before.
TEST_F(LibvirtReplicationTest, InternalSnapshotsAreWarnedOf) {
  LibvirtGuest guest({.name = "web"});
  world_.AsrJson("check web --policy gold");
  EXPECT_THAT(world_.said(), Not(HasSubstr("internal snapshots")));
  Virsh({"snapshot-create-as", "web", "before-update"});
  EXPECT_THAT(world_.AsrJson("check web --policy gold").dump(),
              HasSubstr("internal snapshots, the first 'before-update'"));
  world_.AsrJson("enable web --policy gold");
  EXPECT_THAT(world_.said(), HasSubstr("internal snapshots, the first 'before-update'"));
}

// See kEndOfBackupLimit: libvirt hears late of the end of a job in which the guest's agent stopped.
TEST_F(LibvirtReplicationTest, AnAgentThatStopsInAJobFailsNoLaterCycle) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForAgent();
  guest.WriteRandomFile("/data/random", 64 * kMiB);
  // A line on which the job takes six seconds.
  world_.Asr("throttle set --work-mbps 80 --other-mbps 80");
  AsrProcess enabling(
      {"enable", "web", "--policy", "gold", "--state-dir", world_.state_directory(), "-y"},
      world_.directory() / "log");
  ASSERT_TRUE(BecomesTrue([] { return TryVirsh({"backup-dumpxml", "web"}).exit_code == 0; }));
  guest.RunInGuest("killall qemu-ga");
  EXPECT_EQ(enabling.Wait(), 0);
  EXPECT_NE(TryVirsh({"backup-dumpxml", "web"}).exit_code, 0);
  world_.Asr("throttle clear");
  const std::int64_t synced = guest.WaitForMoreSynced(1);
  const Json replicated = world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  EXPECT_GE(world_.Restore(guest, PointOf(replicated), JournalState::kCrash).SyncedNumber(),
            synced);
}

TEST_F(LibvirtReplicationTest, AKilledQemuCostsOneComparisonAndNoPoint) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  const std::string first = world_.AsrJson("enable web --policy gold").at("id").get<std::string>();
  EXPECT_NE(first, "");
  const std::string before = PointOf(world_.AsrJson("replicate web"));
  const GuestJournal held = world_.Restore(guest, before, JournalState::kCrash);
  guest.WaitForMoreSynced(5);
  guest.KillQemu();
  guest.Start();
  const std::int64_t synced = guest.WaitForMoreSynced(2);
  const Json after = world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), HasSubstr("its disks are compared instead"));
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  const GuestJournal journal = world_.Restore(guest, PointOf(after), JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), synced);
  EXPECT_EQ(world_.Restore(guest, before, JournalState::kCrash).last_numbers, held.last_numbers);
}

// Nightly a whole GiB.
TEST_F(LibvirtReplicationTest, WhatAGuestTrimsIsClearedAndNotSent) {
  const std::uint64_t mib = std::getenv("ASR_NIGHTLY") != nullptr ? 1024 : 100;
  LibvirtGuest guest({.name = "web", .disks = {{.size_bytes = 2 * kGiB}}});
  guest.Start();
  guest.WaitForSynced(5);
  guest.WriteRandomFile("/data/large", mib * kMiB);
  world_.AsrJson("enable web --policy gold");
  guest.RunInGuest("rm /data/large && sync && fstrim /data");
  const Json replicated = world_.AsrJson("replicate web");
  const Json& stats = replicated.at("job").at("stats");
  EXPECT_GT(stats.at("bytesCleared").get<std::uint64_t>(), mib * 9 / 10 * kMiB);
  EXPECT_LT(stats.at("bytesSent").get<std::uint64_t>(), 5 * kMiB);
  EXPECT_LT(stats.at("bytesRead").get<std::uint64_t>(), 10 * kMiB);
  EXPECT_EQ(world_.Restore(guest, PointOf(replicated), JournalState::kCrash).problem, "");
}

// As distributions run it: scratch files and socket must be where such a QEMU may go.
TEST_F(LibvirtReplicationTest, AQemuWithAUserOfItsOwn) {
  const std::string user =
      RunShell("getent passwd libvirt-qemu").exit_code == 0 ? "libvirt-qemu" : "nobody";
  RunQemuAs(user);
  LibvirtGuest guest({.name = "web", .disks = {{}, {.format = "raw"}}});
  guest.Start();
  guest.WaitForAgent();
  EXPECT_EQ(MustRunShell(fmt::format("stat -c %U /proc/{}", guest.QemuPid())), user + "\n");
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  const std::int64_t synced = guest.WaitForMoreSynced(2);
  const Json replicated = world_.AsrJson("replicate web --app-consistent");
  EXPECT_THAT(world_.said(), IsEmpty());
  EXPECT_EQ(replicated.at("point").at("consistency"), "app");
  // The begin of a job, and what the guest agent takes.
  EXPECT_GT(replicated.at("point").at("frozenMilliseconds"), 0);
  EXPECT_LT(replicated.at("point").at("frozenMilliseconds"), 5000);
  const GuestJournal journal = world_.Restore(guest, PointOf(replicated), JournalState::kFrozen);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), synced);
  EXPECT_TRUE(world_.AsrJson("replicate web").at("point").at("frozenMilliseconds").is_null());
}

// QEMU notes changes of such an image in pieces that are smaller than a chunk.
TEST_F(LibvirtReplicationTest, SmallClustersAreWholeChunksInTheVault) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {}}});
  MustRunShell(
      fmt::format("cd {0} && qemu-img convert -f qcow2 -O qcow2 -o cluster_size=4096 "
                  "vdb.qcow2 small && mv small vdb.qcow2",
                  guest.directory()));
  guest.Start();
  guest.WaitForSynced(5);
  guest.WriteRandomFile("/data-vdb/large", 20 * kMiB);
  world_.AsrJson("enable web --policy gold");
  guest.RunInGuest(
      "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/urandom of=/data-vdb/large bs=4096 "
      "count=1 seek=$((i * 397)) conv=notrunc; done; sync");
  world_.ExpectExact(guest);
}

TEST_F(LibvirtReplicationTest, TheBackupOfAnotherProgramIsLeftInPeace) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  const std::string xml = world_.directory() / "pull.xml";
  MustRunShell(
      "echo \"<domainbackup mode='pull'><server transport='unix' socket='/run/lab/nbd'/>"
      "</domainbackup>\" >" +
      xml);
  Virsh({"backup-begin", "web", xml});
  const CommandOutput refused = world_.TryAsr("replicate web");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.text, HasSubstr("another backup of VM web runs"));
  Virsh({"backup-dumpxml", "web"});
  Virsh({"domjobabort", "web"});
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
}

TEST_F(LibvirtReplicationTest, ACheckpointThatSomebodyDeletedIsFoundOutAndReplaced) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  MustRunShell(
      "virsh -c qemu:///system checkpoint-delete web $(virsh -c qemu:///system "
      "checkpoint-list web --name | grep ^asr-)");
  guest.StopWriting();
  const Json replicated = world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), HasSubstr("is gone, its disks are compared instead"));
  // Nothing changes any more; yet the new checkpoint is one that a point knows.
  world_.AsrJson("replicate web");
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  EXPECT_EQ(world_.Restore(guest, PointOf(replicated), JournalState::kCrash).problem, "");
}

TEST_F(LibvirtReplicationTest, NothingStaysOnAGuestThatIsNotProtectedAnyMore) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  const auto expect_nothing = [&] {
    EXPECT_EQ(Virsh({"checkpoint-list", "web", "--name"}), "");
    EXPECT_THAT(MustRunShell("qemu-img info -U --output json " + guest.disks()[0]),
                Not(HasSubstr("\"bitmaps\"")));
  };
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("disable web");
  EXPECT_THAT(world_.said(), IsEmpty());
  expect_nothing();
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("pause web --release-tracking");
  expect_nothing();
  guest.WaitForMoreSynced(2);
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), HasSubstr("is gone, its disks are compared instead"));
  world_.AsrJson("disable web");
  // Of a guest that is off, too.
  world_.AsrJson("enable web --policy gold");
  guest.Shutdown();
  EXPECT_THAT(MustRunShell("qemu-img info --output json " + guest.disks()[0]),
              HasSubstr("\"bitmaps\""));
  world_.AsrJson("disable web --keep-data");
  EXPECT_THAT(world_.said(), IsEmpty());
  expect_nothing();
}

TEST_F(LibvirtReplicationTest, DisksThatCannotBeReplicatedSaySoAndCanBeLeftOut) {
  LibvirtGuest guest({.name = "web",
                      .disks = {{}},
                      .devices_xml = "<disk type='file' device='cdrom'><target dev='sda' "
                                     "bus='sata'/><readonly/></disk>"
                                     "<disk type='file' device='disk'><driver name='qemu' "
                                     "type='raw'/><source file='/run/lab/shared.raw'/><target "
                                     "dev='vdz' bus='virtio'/><shareable/></disk>"});
  MustRunShell("truncate -s 64M /run/lab/shared.raw");
  guest.Start();
  guest.WaitForSynced(5);
  const CommandOutput refused = world_.TryAsr("enable web --policy gold");
  EXPECT_EQ(refused.exit_code, 4);
  EXPECT_THAT(refused.text, HasSubstr("disk vdz cannot be replicated: it is shared"));
  world_.AsrJson("enable web --policy gold --exclude-disk vdz");
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
}

TEST_F(LibvirtReplicationTest, ACycleReadsWhatChangedAndNoMore) {
  LibvirtGuest guest({.name = "web", .disks = {{.size_bytes = kGiB}}});
  guest.Start();
  guest.WaitForSynced(5);
  guest.WriteRandomFile("/data/large", 30 * kMiB);
  world_.AsrJson("enable web --policy gold");
  guest.StopWriting();
  guest.WriteRandomFile("/data/small", kMiB);
  const Json stats = world_.AsrJson("replicate web").at("job").at("stats");
  EXPECT_GT(stats.at("bytesRead").get<std::uint64_t>(), kMiB);
  EXPECT_LT(stats.at("bytesRead").get<std::uint64_t>(), 3 * kMiB);
  EXPECT_LT(stats.at("bytesSent").get<std::uint64_t>(), 3 * kMiB);
}

}  // namespace
}  // namespace asr::testing
