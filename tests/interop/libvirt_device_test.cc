// Guests whose disks are block devices, as LVM volumes are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>

#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

// What asr keeps beside images of other guests.
std::string WhatIsLeft(const LiveWorld& world) {
  return RunShell(fmt::format("find {} /var/lib/libvirt/qemu /dev -name '*.hrl' -o -name '*.asr-*'",
                              world.state_directory()))
      .text;
}

TEST(LibvirtDeviceTest, RawAndQcow2DevicesAreReplicatedRunningAndOff) {
  LiveWorld world;
  LibvirtGuest guest(
      {.name = "web", .disks = {{.is_device = true}, {.format = "raw", .is_device = true}}});
  guest.Start();
  guest.WaitForAgent();
  EXPECT_THAT(world.Asr("vm show web"), HasSubstr(guest.disks()[0]));
  world.AsrJson("enable web --policy gold");
  EXPECT_THAT(world.said(), IsEmpty());
  guest.WriteRandomFile("/data/some", kMiB);
  guest.WriteRandomFile("/data-vdb/some", kMiB);
  const std::int64_t synced = guest.WaitForMoreSynced(2);
  const Json frozen = world.AsrJson("replicate web --app-consistent");
  EXPECT_THAT(world.said(), IsEmpty());
  EXPECT_EQ(frozen.at("point").at("consistency"), "app");
  const std::string point = frozen.at("point").at("id");
  const GuestJournal journal = world.Restore(guest, point, JournalState::kFrozen);
  EXPECT_EQ(journal.problem, "");
  EXPECT_GE(journal.SyncedNumber(), synced);
  world.ExpectExact(guest);
  EXPECT_EQ(WhatIsLeft(world), "");

  guest.Shutdown();
  const Json off = world.AsrJson("replicate web");
  EXPECT_THAT(world.said(), IsEmpty());
  const GuestJournal last =
      world.Restore(guest, off.at("point").at("id").get<std::string>(), JournalState::kFrozen);
  EXPECT_EQ(last.problem, "");
  EXPECT_GE(last.SyncedNumber(), guest.LastSynced());
  // Nothing tells that nothing was written: both are read again, and are equal.
  const Json again = world.AsrJson("replicate web").at("job").at("stats");
  EXPECT_EQ(again.at("bytesSent"), 0) << again.dump();

  guest.Start();
  guest.WaitForMoreSynced();
  guest.WaitForAgent();  // within a job libvirt would hear of it late
  world.AsrJson("replicate web");
  world.ExpectGoesOn(guest);
  EXPECT_EQ(WhatIsLeft(world), "");
}

TEST(LibvirtDeviceTest, AGrownDeviceIsFollowed) {
  LiveWorld world;
  LibvirtGuest guest({.name = "web", .disks = {{}, {.format = "raw", .is_device = true}}});
  guest.Start();
  guest.WaitForSynced(5);
  world.AsrJson("enable web --policy gold");
  guest.GrowDevice(1, 300 * kMiB);
  world.AsrJson("replicate web");
  EXPECT_THAT(world.said(), HasSubstr("disk vdb has grown from 268435456 to 314572800 bytes"));
  guest.RunInGuest("dd if=/dev/urandom of=/dev/vdb bs=1M seek=290 count=4 conv=notrunc && sync");
  world.ExpectGoesOn(guest);
}

// Its logs go into the state directory, whose file system other programs need, too.
TEST(LibvirtDeviceTest, NoCycleBeginsWhereLogsHaveNoRoom) {
  LiveWorld world;
  LibvirtGuest guest({.name = "web", .disks = {{.is_device = true}}});
  guest.Start();
  guest.WaitForSynced(5);
  MustRunShell(
      fmt::format("cd {0} && mv state old && mkdir state && mount -t tmpfs -o size=400M "
                  "none state && mv old/* state",
                  world.directory().path()));
  world.AsrJson("enable web --policy gold");
  MustRunShell("fallocate -l 330M " + world.state_directory() + "/ballast");
  const CommandOutput refused = world.TryAsr("replicate web");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.text, HasSubstr("less than the reserve left"));
  EXPECT_NE(TryVirsh({"backup-dumpxml", "web"}).exit_code, 0);
  guest.WaitForMoreSynced();
  MustRunShell("rm " + world.state_directory() + "/ballast");
  world.ExpectGoesOn(guest);
  ASSERT_EQ(::umount2(world.state_directory().c_str(), MNT_DETACH), 0);
}

}  // namespace
}  // namespace asr::testing
