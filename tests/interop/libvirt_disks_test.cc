// Disks of a running guest grow, and are added to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

TEST(LibvirtDisksTest, AGrownAndAnAddedDiskAreFollowed) {
  LiveWorld world;
  LibvirtGuest guest({.name = "web", .machine = "pc"});
  guest.Start();
  guest.WaitForSynced(5);
  const Json enabled = world.AsrJson("enable web --policy gold");
  const std::string old_point = world.AsrJson("points list web")[0].at("id");

  Virsh({"blockresize", "web", "vda", "300M"});
  guest.RunInGuest("dd if=/dev/urandom of=/dev/vda bs=1M seek=290 count=4 conv=notrunc && sync");
  const std::string added = guest.directory() + "/added.qcow2";
  MustRunShell("qemu-img create -q -f qcow2 " + added + " 64M");
  Virsh({"attach-disk", "web", added, "vdb", "--subdriver", "qcow2", "--live"});
  guest.RunInGuest("until [ -b /dev/vdb ]; do sleep 0.1; done");
  guest.RunInGuest("dd if=/dev/urandom of=/dev/vdb bs=1M seek=3 count=2 conv=notrunc && sync");
  const std::int64_t synced = guest.WaitForMoreSynced(2);

  const Json followed = world.AsrJson("replicate web").at("job");
  EXPECT_THAT(world.said(), HasSubstr("disk vda has grown from 268435456 to 314572800 bytes"));
  EXPECT_THAT(world.said(), HasSubstr("disk vdb was added"));
  // Its 6 MiB, and what the guest has written meanwhile.
  EXPECT_LT(followed.at("stats").at("bytesSent").get<std::uint64_t>(), 12 * kMiB)
      << followed.dump();
  const Json disks = world.AsrJson("items show web").at("disks");
  ASSERT_EQ(disks.size(), 2U);
  EXPECT_EQ(disks[0].at("sizeBytes"), 300 * kMiB);
  EXPECT_EQ(disks[1].at("sizeBytes"), 64 * kMiB);

  // From now on by bitmaps alone, of both.
  guest.RunInGuest("dd if=/dev/urandom of=/dev/vdb bs=1M seek=40 count=1 conv=notrunc && sync");
  const Json delta = world.AsrJson("replicate web").at("job");
  EXPECT_THAT(world.said(), IsEmpty());
  EXPECT_LT(delta.at("stats").at("bytesRead").get<std::uint64_t>(), 8 * kMiB) << delta.dump();

  const Json last = world.ExpectExact(guest);
  const GuestJournal journal = world.Restore(guest, old_point, JournalState::kCrash);
  EXPECT_EQ(journal.problem, "");
  const std::string to = world.directory() / "restored";
  world.Asr(fmt::format("restore web --point {} --to {} --format raw",
                        last.at("point").at("id").get<std::string>(), to));
  EXPECT_EQ(std::filesystem::file_size(to + "/vda.raw"), 300 * kMiB);
  // As the guest itself reads it.
  const std::string sum = guest.RunInGuest("sha256sum </dev/vdb");
  EXPECT_EQ(MustRunShell("sha256sum <" + to + "/vdb.raw").substr(0, 64), sum.substr(0, 64));
  const GuestJournal grown = ReadGuestJournal({to + "/vda.raw"}, JournalState::kCrash);
  EXPECT_EQ(grown.problem, "");
  EXPECT_GE(grown.SyncedNumber(), synced);
  world.Asr("points verify web");
  EXPECT_EQ(world.TryAsr("vault check").exit_code, 0);
}

}  // namespace
}  // namespace asr::testing
