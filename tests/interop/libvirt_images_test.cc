// What others do with a guest's images and checkpoints between two cycles.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

class LibvirtImagesTest : public ::testing::Test {
 protected:
  LibvirtImagesTest() {
    guest_.Start();
    guest_.WaitForAgent();
    world_.AsrJson("enable web --policy gold");
    point_ = world_.AsrJson("replicate web").at("point").at("id");
  }
  // The points of before are kept, and cycles go by bitmaps again.
  void ExpectGoesOn() {
    world_.ExpectGoesOn(guest_);
    EXPECT_EQ(world_.Restore(guest_, point_, JournalState::kCrash).problem, "");
  }
  static std::string OurCheckpoints() {
    return MustRunShell("virsh -c qemu:///system checkpoint-list web --name | grep -c ^asr-");
  }

  LiveWorld world_;
  LibvirtGuest guest_{{.name = "web"}};
  std::string point_;
};

TEST_F(LibvirtImagesTest, AnImageThatACopyHasReplacedIsCompared) {
  guest_.Shutdown();
  const std::string& image = guest_.disks()[0];
  MustRunShell(fmt::format("qemu-img convert -O qcow2 {0} {0}.copy && mv {0}.copy {0}", image));
  guest_.Start();
  guest_.WaitForMoreSynced();
  guest_.WaitForAgent();
  const Json compared = world_.AsrJson("replicate web").at("job").at("stats");
  EXPECT_THAT(world_.said(), HasSubstr("an image was replaced"));
  EXPECT_LT(compared.at("bytesSent").get<std::uint64_t>(), 2 * kMiB) << compared.dump();
  ExpectGoesOn();
}

// libvirt carries the bitmap over into the overlay, and back again.
TEST_F(LibvirtImagesTest, AnExternalSnapshotAndItsEndAreFollowed) {
  Virsh({"snapshot-create-as", "web", "before-update", "--disk-only", "--no-metadata"});
  guest_.WriteRandomFile("/data/new", kMiB);
  world_.AsrJson("replicate web");
  ExpectGoesOn();
  Virsh({"blockcommit", "web", "vda", "--active", "--pivot", "--wait"});
  guest_.WriteRandomFile("/data/newer", kMiB);
  world_.AsrJson("replicate web");
  ExpectGoesOn();
  EXPECT_EQ(OurCheckpoints(), "1\n");
}

TEST_F(LibvirtImagesTest, TheCheckpointOfAnotherProgramStays) {
  Virsh({"checkpoint-create-as", "web", "theirs"});
  guest_.WaitForMoreSynced();
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  ExpectGoesOn();
  EXPECT_THAT(Virsh({"checkpoint-list", "web", "--name"}), HasSubstr("theirs"));
  EXPECT_EQ(OurCheckpoints(), "1\n");
  world_.AsrJson("disable web");
  EXPECT_THAT(Virsh({"checkpoint-list", "web", "--name"}), HasSubstr("theirs"));
}

TEST(LibvirtDoctorTest, TheRuleThatAppArmorNeedsIsNamed) {
  LiveWorld world;
  const auto scratch = [&] {
    const std::string text = world.TryAsr("doctor -o json").text;
    const std::size_t begin = text.find("scratch files");
    return begin == std::string::npos ? "" : text.substr(begin, text.find('}', begin) - begin);
  };
  MustRunShell(
      "mkdir -p /run/lab/scratch && mount -t tmpfs none /sys/module && "
      "mkdir -p /sys/module/apparmor/parameters && echo Y >/sys/module/apparmor/parameters/enabled "
      "&& mkdir -p /etc/apparmor.d && mount -t tmpfs none /etc/apparmor.d");
  EXPECT_THAT(scratch(), HasSubstr("beside the VMs' images"));
  world.Asr("config set scratch-dir /run/lab/scratch");
  EXPECT_THAT(scratch(), HasSubstr("may be closed to QEMU by AppArmor"));
  EXPECT_THAT(scratch(), HasSubstr("/run/lab/scratch/** rwk,"));
  MustRunShell(
      "mkdir -p /etc/apparmor.d/local/abstractions && echo '/run/lab/scratch/** rwk,' "
      ">/etc/apparmor.d/local/abstractions/libvirt-qemu");
  EXPECT_THAT(scratch(), HasSubstr("AppArmor lets QEMU there"));
  MustRunShell("echo N >/sys/module/apparmor/parameters/enabled");
  EXPECT_THAT(scratch(), HasSubstr("AppArmor off"));
  RunQemuAs("libvirt-qemu");
  MustRunShell("chmod 700 /run/lab/scratch");
  EXPECT_THAT(scratch(), HasSubstr("QEMU's user libvirt-qemu may not enter /run/lab/scratch"));
}

}  // namespace
}  // namespace asr::testing
