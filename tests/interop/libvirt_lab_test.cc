// The laboratory itself: what tests of live machines rest on.
#include "tests/support/libvirt_lab.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "tests/support/guest_journal.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class LibvirtLabTest : public ::testing::Test {
 protected:
  // Copies all disks of a running guest as they are at one instant.
  std::vector<std::string> Copy(const LibvirtGuest& guest) {
    const std::string socket = directory_ / "nbd";
    const std::string xml = directory_ / "backup.xml";
    std::ofstream(xml) << "<domainbackup mode='pull'><server transport='unix' socket='" << socket
                       << "'/></domainbackup>";
    Virsh({"backup-begin", guest.name(), xml});
    std::vector<std::string> images;
    for (std::size_t i = 0; i < guest.disks().size(); ++i) {
      const std::string disk = std::string("vd") + static_cast<char>('a' + static_cast<int>(i));
      images.push_back(directory_ / (disk + ".raw"));
      MustRunShell(
          fmt::format("nbdcopy 'nbd+unix:///{}?socket={}' {}", disk, socket, images.back()));
    }
    Virsh({"domjobabort", guest.name()});
    return images;
  }

  TempDir directory_;
};

TEST_F(LibvirtLabTest, FourDisksOfARunningGuestAreCopiedAtOneInstant) {
  LibvirtGuest guest({.disks = {{}, {.format = "raw"}, {.size_bytes = kGiB}, {}}});
  guest.Start();
  guest.WaitForSynced(10);
  const std::vector<std::string> images = Copy(guest);
  const std::int64_t now = guest.LastSynced();
  guest.WaitForMoreSynced();
  const GuestJournal journal = ReadGuestJournal(images, JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  EXPECT_THAT(journal.last_numbers, SizeIs(4));
  EXPECT_GE(journal.SyncedNumber(), 10);
  EXPECT_LE(journal.SyncedNumber(), now + 1);
  // A file system in use is not clean before its journal is replayed, and the check tells.
  EXPECT_THAT(ReadGuestJournal(images, JournalState::kFrozen).problem, HasSubstr("replayed"));
  // Nor are disks of different times one instant.
  guest.WaitForAgent();
  Virsh({"domfsfreeze", guest.name()});
  const std::vector<std::string> mixed = {guest.disks()[1], images[1]};
  EXPECT_THAT(ReadGuestJournal(mixed, JournalState::kCrash).problem, HasSubstr("one instant"));
}

TEST_F(LibvirtLabTest, AFrozenGuestWritesNothingAndItsDisksAreClean) {
  LibvirtGuest guest({.disks = {{}, {}}});
  guest.Start();
  guest.WaitForAgent();
  guest.WaitForSynced(1);
  Virsh({"domfsfreeze", guest.name()});
  // A number that was on its way may still reach the console.
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const std::int64_t frozen = guest.LastSynced();
  const std::vector<std::string> images = Copy(guest);
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_EQ(guest.LastSynced(), frozen);
  Virsh({"domfsthaw", guest.name()});
  guest.WaitForMoreSynced();
  const GuestJournal journal = ReadGuestJournal(images, JournalState::kFrozen);
  EXPECT_EQ(journal.problem, "");
  EXPECT_EQ(journal.SyncedNumber(), frozen);
}

TEST_F(LibvirtLabTest, WhatWasSyncedOutlivesKillsOfQemuAndLibvirtd) {
  LibvirtGuest guest;
  guest.Start();
  guest.WaitForSynced(5);
  KillLibvirtd();
  EXPECT_NE(TryVirsh({"list"}).exit_code, 0);
  // The guest goes on, and obeys.
  guest.WaitForMoreSynced(5);
  guest.StopWriting();
  const std::int64_t paused = guest.LastSynced();
  guest.WriteRandomFile("/data/random", kMiB);
  EXPECT_THAT(guest.RunInGuest("fstrim -v /data; ls -l /data"), HasSubstr("1048576"));
  EXPECT_EQ(guest.LastSynced(), paused);
  EXPECT_EQ(guest.TryInGuest("exit 7").exit_code, 7);
  guest.StartWriting();
  const std::int64_t synced = guest.WaitForMoreSynced(5);
  RestartLibvirtd();
  EXPECT_EQ(guest.State(), "running");
  ReachLabBySsh();
  EXPECT_THAT(MustRunShell("virsh -c qemu+ssh://lab-host/system domstate guest"),
              HasSubstr("running"));
  // A file that is deleted but open: what a mount does about it is no damage.
  guest.RunInGuest(
      "echo held >/data/held; sleep 600 </data/held >/dev/null 2>&1 & "
      "usleep 100000; rm /data/held; sync");
  guest.KillQemu();
  EXPECT_EQ(guest.State(), "shut off");
  const GuestJournal journal = ReadGuestJournal(guest.disks(), JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), synced);
  guest.Start();
  EXPECT_GT(guest.WaitForMoreSynced(), journal.SyncedNumber());
  guest.Shutdown();
  EXPECT_EQ(ReadGuestJournal(guest.disks(), JournalState::kFrozen).problem, "");
}

TEST_F(LibvirtLabTest, AGuestStartsFromItsOwnDiskInAQemuThatIsNotRoot) {
  RunQemuAs("nobody");
  LibvirtGuest guest({.disks = {{.size_bytes = 300 * kMiB}, {.format = "raw"}},
                      .starts_from_disk = true,
                      .is_uefi = true});
  guest.Start();
  EXPECT_EQ(MustRunShell(fmt::format("stat -c %U /proc/{}", guest.QemuPid())), "nobody\n");
  guest.WaitForSynced(20);
  EXPECT_THAT(guest.RunInGuest("cat /proc/mounts"), HasSubstr("/dev/vda2 /data ext4"));
  guest.KillQemu();
  const GuestJournal journal = ReadGuestJournal(guest.disks(), JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), 20);
}

}  // namespace
}  // namespace asr::testing
