// The variables of a real UEFI, kept with the points of a running guest.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;
using Json = LiveWorld::Json;

std::string Digest(const std::string& path) {
  return MustRunShell("sha256sum <" + path).substr(0, 64);
}

class LibvirtFirmwareTest : public ::testing::Test {
 protected:
  std::string PointOf(const Json& replicated) {
    return replicated.at("point").at("id").get<std::string>();
  }
  // What a point has of them, from a restore of all of it.
  std::string DigestOf(const std::string& point) {
    const std::string to = world_.directory() / fmt::format("out-{}", ++restores_);
    world_.AsrJson(fmt::format("restore web --point {} --to {}", point, to));
    return Digest(to + "/firmware-variables.fd");
  }

  LiveWorld world_;
  int restores_ = 0;
};

TEST_F(LibvirtFirmwareTest, EachPointHasTheVariablesOfItsTime) {
  LibvirtGuest guest({.name = "web",
                      .disks = {{.size_bytes = 300 * kMiB}},
                      .starts_from_disk = true,
                      .is_uefi = true});
  guest.Start();
  guest.WaitForSynced(5);
  const std::string nvram = MustRunShell(
      "virsh -c qemu:///system dumpxml web | sed -n 's#.*<nvram[^>]*>\\(.*\\)</nvram>#\\1#p' | "
      "tr -d '\\n'");
  ASSERT_THAT(nvram, StartsWith("/var/lib/libvirt/qemu/nvram/"));
  world_.AsrJson("enable web --policy gold");
  EXPECT_THAT(world_.said(), IsEmpty());
  const std::string before = Digest(nvram);
  const std::string first = world_.AsrJson("points show web").at("id").get<std::string>();
  EXPECT_EQ(DigestOf(first), before);
  guest.WaitForMoreSynced(2);
  const Json delta = world_.AsrJson("replicate web");
  EXPECT_EQ(DigestOf(PointOf(delta)), Digest(nvram));
  EXPECT_EQ(world_.AsrJson("points show web").at("nvram").at("format"), "raw");
  // Of a guest that is off, its file is read as it is: here an entry that somebody added.
  guest.Shutdown();
  MustRunShell(fmt::format("printf changed | dd of={} bs=1 seek=400000 conv=notrunc", nvram));
  const Json off = world_.AsrJson("replicate web");
  EXPECT_EQ(DigestOf(PointOf(off)), Digest(nvram));
  EXPECT_NE(Digest(nvram), before);
  EXPECT_EQ(DigestOf(first), before);
  EXPECT_EQ(world_.TryAsr("vault check").exit_code, 0);
  world_.Asr("points verify web");
  // A file that is gone costs a warning, and no point.
  guest.Start();
  guest.WaitForMoreSynced(2);
  MustRunShell("mv " + nvram + " /run/lab/nvram");
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), HasSubstr("firmware variables are not kept"));
}

TEST_F(LibvirtFirmwareTest, ATestFailoverStartsWithThem) {
  LibvirtGuest guest({.name = "web",
                      .disks = {{.size_bytes = 300 * kMiB}},
                      .starts_from_disk = true,
                      .is_uefi = true});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  const std::string point = world_.AsrJson("points show web").at("id").get<std::string>();
  const Json test = world_.AsrJson("test-failover web --serial-text 'synced ' --wait-seconds 120");
  EXPECT_EQ(test.at("state"), "Succeeded") << test.dump();
  // The firmware has written to its copy since; what it began with were the guest's.
  const std::string copy = MustRunShell("find " + world_.state_directory() +
                                        " -name firmware-variables.fd | tr -d '\\n'");
  EXPECT_THAT(MustRunShell("strings -el " + copy), HasSubstr("BootOrder"));
  EXPECT_NE(DigestOf(point), Digest("/usr/share/OVMF/OVMF_VARS_4M.fd"));
  world_.AsrJson("test-failover-cleanup web");
}

// A guest that has drivers for its own devices alone must start in a test all the same.
TEST_F(LibvirtFirmwareTest, ATestFailoverHasTheDevicesOfTheVm) {
  LibvirtGuest guest({.name = "web",
                      .disks = {{.size_bytes = 300 * kMiB, .bus = "scsi"}},
                      .starts_from_disk = true,
                      .devices_xml =
                          "<controller type='scsi' model='virtio-scsi'/><interface type='user'>"
                          "<mac address='52:54:00:aa:bb:cc'/><model type='e1000e'/></interface>"});
  const Json vm = world_.AsrJson("vm show web");
  EXPECT_THAT(vm.at("machineType").get<std::string>(), HasSubstr("q35"));
  EXPECT_EQ(vm.at("generation"), 1);
  EXPECT_EQ(vm.at("memoryBytes"), 256 * kMiB);
  EXPECT_EQ(vm.at("disks").at(0).at("bus"), "scsi");
  EXPECT_EQ(vm.at("networkCards"),
            Json::parse(R"([{"mac": "52:54:00:aa:bb:cc", "model": "e1000e", "network": "user"}])"));
  EXPECT_THAT(world_.Asr("vm show web"), HasSubstr("52:54:00:aa:bb:cc"));
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  const Json test = world_.AsrJson(
      "test-failover web --network isolated --serial-text 'synced ' --wait-seconds 120");
  EXPECT_EQ(test.at("state"), "Succeeded") << test.dump();
  const std::string command = MustRunShell("tr '\\0' ' ' </proc/$(cat $(find " +
                                           world_.state_directory() + " -name qemu.pid))/cmdline");
  EXPECT_THAT(command, HasSubstr("-machine q35 "));
  EXPECT_THAT(command, HasSubstr("-device virtio-scsi-pci,id=scsi0 "));
  EXPECT_THAT(command, HasSubstr("-device scsi-hd,bus=scsi0.0,scsi-id=0,"));
  EXPECT_THAT(command, HasSubstr("e1000e,netdev=net0,romfile=,mac=52:54:00:aa:bb:cc"));
  world_.AsrJson("test-failover-cleanup web");
}

TEST_F(LibvirtFirmwareTest, OfAHostBehindSshTheyAreReadThere) {
  ReachLabBySsh();
  world_.Asr("host remove kvm1");
  world_.Asr("host add kvm1 --kind libvirt --uri qemu+ssh://root@lab-host/system");
  LibvirtGuest guest({.name = "web",
                      .disks = {{.size_bytes = 300 * kMiB}},
                      .starts_from_disk = true,
                      .is_uefi = true});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  EXPECT_THAT(world_.said(), IsEmpty());
  const std::string point = world_.AsrJson("points show web").at("id").get<std::string>();
  EXPECT_EQ(DigestOf(point), Digest("/var/lib/libvirt/qemu/nvram/web_VARS.fd"));
}

// What a protection that is over has left is found; and what a running one needs is fine.
TEST_F(LibvirtFirmwareTest, TheDoctorKnowsWhatIsOnTheHost) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForAgent();
  world_.Asr("policy set gold --app-consistent 1h");
  world_.AsrJson("enable web --policy gold");
  const auto entries = world_.AsrJson("doctor");
  const auto state = [](const Json& list, const std::string& name) -> std::string {
    for (const Json& entry : list) {
      if (entry.at("name") == name) return entry.at("state").get<std::string>();
    }
    return "none";
  };
  EXPECT_EQ(state(entries, "Host kvm1"), "ok") << entries.dump(2);
  EXPECT_EQ(state(entries, "Host kvm1: scratch files"), "ok");
  EXPECT_EQ(state(entries, "VM web: guest agent"), "ok");
  EXPECT_THAT(world_.Asr("check web --policy gold"), HasSubstr("the guest agent is connected"));
  EXPECT_EQ(state(entries, "Left on VM web"), "none");
  Virsh({"checkpoint-create-as", "web", "asr-0badcafe-0123456789abcdef0123456789abcdef"});
  EXPECT_EQ(state(world_.AsrJson("doctor"), "Left on VM web"), "warning");
  guest.RunInGuest("killall qemu-ga");
  const auto agent = [&] { return state(world_.AsrJson("doctor"), "VM web: guest agent"); };
  for (int i = 0; i < 50 && agent() == "ok"; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_EQ(agent(), "warning");
  EXPECT_THAT(world_.Asr("check web --policy gold"), HasSubstr("no guest agent is connected"));
  // QEMU's user has to get there.
  RunQemuAs("nobody");
  MustRunShell("mkdir -p -m 700 /run/lab/closed/scratch");
  world_.Asr("config set scratch-dir /run/lab/closed/scratch");
  const CommandOutput closed = world_.TryAsr("doctor");
  EXPECT_EQ(closed.exit_code, 1);
  EXPECT_THAT(closed.text, HasSubstr("/run/lab/closed"));
}

}  // namespace
}  // namespace asr::testing
