// What a real libvirt tells of real guests becomes events of their items.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/base/clock.h"
#include "tests/support/asr_process.h"
#include "tests/support/becomes_true.h"
#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using Json = LiveWorld::Json;

class LibvirtEventsTest : public ::testing::Test {
 protected:
  void StartAgent() {
    agent_ = std::make_unique<AsrProcess>(
        std::vector<std::string>{"agent", "run", "--state-dir", world_.state_directory()},
        LogPath());
    EXPECT_TRUE(BecomesTrue([&] { return Log().find("replicated every") != std::string::npos; }))
        << Log();
    // It listens by the next pass.
    SystemClock().SleepSeconds(2);
  }
  std::string LogPath() { return world_.directory() / "log"; }
  std::string Log() { return RunShell("tail -c 4000 " + LogPath()).text; }
  Json Events() { return world_.AsrJson("events list"); }
  // Their types, the newest first.
  std::vector<std::string> Types() {
    std::vector<std::string> types;
    for (const Json& event : Events()) types.push_back(event.at("type"));
    return types;
  }
  bool Comes(const std::string& type) {
    return BecomesTrue([&] {
      const auto types = Types();
      return std::ranges::find(types, type) != types.end();
    });
  }
  Json Newest(const std::string& type) {
    for (const Json& event : Events()) {
      if (event.at("type") == type) return event;
    }
    return {};
  }

  LiveWorld world_;
  std::unique_ptr<AsrProcess> agent_;
};

TEST_F(LibvirtEventsTest, StartsStopsKillsAndRestartsOfLibvirtdAreTold) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(1);
  world_.AsrJson("enable web --policy gold");
  StartAgent();
  guest.Destroy();
  EXPECT_TRUE(Comes("VmStopped")) << Log();
  EXPECT_EQ(Newest("VmStopped").at("message"), "it stopped (killed by the host)");
  guest.Start();
  EXPECT_TRUE(Comes("VmStarted")) << Log();
  EXPECT_EQ(Newest("VmStarted").at("severity"), "Info");
  EXPECT_EQ(Newest("VmStarted").at("vm"), "web");
  guest.KillQemu();
  EXPECT_TRUE(Comes("VmCrashed")) << Log();
  EXPECT_EQ(Newest("VmCrashed").at("severity"), "Warning");
  // A loop of starts is one event, counted.
  for (int i = 0; i < 3; ++i) {
    guest.Start();
    guest.Destroy();
  }
  EXPECT_TRUE(BecomesTrue([&] { return Newest("VmStarted").at("count") == 4; }))
      << Newest("VmStarted");
  guest.Start();
  EXPECT_TRUE(BecomesTrue([&] { return Newest("VmStarted").at("count") == 5; }));
  const std::size_t before = Types().size();
  // What happens while libvirtd is away is told once it is back.
  KillLibvirtd();
  guest.KillQemu();
  SystemClock().SleepSeconds(1);
  RestartLibvirtd();
  EXPECT_TRUE(BecomesTrue([&] { return Types().size() > before; })) << Log();
  EXPECT_EQ(Newest("VmStopped").at("message"), "it stopped (while libvirt could not be asked)");
  guest.Start();
  EXPECT_TRUE(BecomesTrue([&] { return Newest("VmStarted").at("count") == 6; })) << Log();
  agent_->Signal(SIGTERM);
  EXPECT_EQ(agent_->Wait(), 0) << Log();
}

TEST_F(LibvirtEventsTest, AHostBehindSshIsListenedToThroughItsLine) {
  ReachLabBySsh();
  world_.Asr("host remove kvm1");
  world_.AsrJson("host add kvm1 --kind libvirt --uri qemu+ssh://root@lab-host/system");
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(1);
  world_.AsrJson("enable web --policy gold");
  StartAgent();
  SystemClock().SleepSeconds(2);
  guest.Destroy();
  EXPECT_TRUE(Comes("VmStopped")) << Log();
  agent_->Signal(SIGTERM);
  EXPECT_EQ(agent_->Wait(), 0) << Log();
  // The line goes with the agent.
  EXPECT_TRUE(BecomesTrue([] { return RunShell("pgrep -x ssh").text.empty(); }));
}

TEST_F(LibvirtEventsTest, AFailedRevertIsCriticalAndItsCureWorks) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(1);
  Virsh({"snapshot-create-as", "web", "before"});
  world_.AsrJson("enable web --policy gold");
  world_.AsrJson("replicate web");
  StartAgent();
  EXPECT_NE(TryVirsh({"snapshot-revert", "web", "before"}).exit_code, 0);
  EXPECT_EQ(guest.State(), "shut off");
  ASSERT_TRUE(Comes("VmRevertFailed")) << Log();
  const Json failed = Newest("VmRevertFailed");
  EXPECT_EQ(failed.at("severity"), "Critical");
  EXPECT_THAT(failed.at("action").get<std::string>(),
              HasSubstr("asr pause web --release-tracking"));
  EXPECT_THAT(Types(), Not(Contains("VmReverted")));
  EXPECT_THAT(world_.AsrJson("events list --severity Critical").size(), 1U);
  // The cure that it names.
  BecomesTrue([&] { return world_.TryAsr("pause web --release-tracking").exit_code == 0; });
  Virsh({"snapshot-revert", "web", "before"});
  EXPECT_EQ(guest.State(), "running");
  EXPECT_TRUE(Comes("VmReverted")) << Log();
  EXPECT_EQ(Newest("VmReverted").at("message"), "it was reverted to a snapshot, and runs");
  world_.AsrJson("resume web");
  const std::int64_t synced = guest.WaitForMoreSynced(2);
  const Json point = world_.AsrJson("replicate web").at("point").at("id");
  EXPECT_GE(world_.Restore(guest, point, JournalState::kCrash).SyncedNumber(), synced);
}

TEST_F(LibvirtEventsTest, ADiskWithoutRoomThatPausesTheVmIsCritical) {
  const std::string small = world_.directory() / "small";
  MustRunShell(
      fmt::format("mkdir {0} && mount -t tmpfs -o size=8m none {0} && qemu-img create -q "
                  "-f qcow2 {0}/full.qcow2 64M",
                  small));
  {
    LibvirtGuest guest({.name = "web",
                        .devices_xml = fmt::format(
                            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
                            "<source file='{}/full.qcow2'/><target dev='vdz' bus='virtio'/>"
                            "<serial>full</serial></disk>",
                            small)});
    guest.Start();
    guest.WaitForSynced(1);
    world_.AsrJson("enable web --policy gold --exclude-disk vdz");
    StartAgent();
    // It does not return: the guest stands still.
    const std::string fill =
        "for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" = full ] && "
        "dd if=/dev/urandom of=/dev/${d##*/} bs=1M count=32; done; sync";
    EXPECT_THROW(static_cast<void>(guest.TryInGuest(fill, std::chrono::seconds(8))),
                 std::runtime_error);
    ASSERT_TRUE(Comes("VmPausedByIoError")) << Log();
    const Json paused = Newest("VmPausedByIoError");
    EXPECT_EQ(paused.at("severity"), "Critical");
    EXPECT_THAT(paused.at("message").get<std::string>(),
                AllOf(HasSubstr("full.qcow2"), HasSubstr("enospc")));
    EXPECT_THAT(paused.at("action").get<std::string>(), HasSubstr("virsh resume web"));
    EXPECT_EQ(guest.State(), "paused");
    agent_->Signal(SIGTERM);
    EXPECT_EQ(agent_->Wait(), 0) << Log();
  }
  MustRunShell("umount " + small);
}

TEST_F(LibvirtEventsTest, AVmThatIsRenamedOrUndefinedIsToldAndItsHealthSaysSo) {
  LibvirtGuest guest({.name = "web"});
  world_.AsrJson("policy set gold --frequency 1h");
  world_.AsrJson("enable web --policy gold");
  StartAgent();
  const std::string xml = Virsh({"dumpxml", "web"});
  Virsh({"domrename", "web", "shop"});
  ASSERT_TRUE(Comes("VmRenamed")) << Log();
  EXPECT_THAT(Newest("VmRenamed").at("message").get<std::string>(),
              HasSubstr("it is named shop now"));
  EXPECT_THAT(Types(), Not(Contains("VmUndefined")));
  EXPECT_TRUE(BecomesTrue([&] {
    return world_.AsrJson("items show web").at("replicationHealth") == "Warning";
  })) << Log();
  Virsh({"domrename", "shop", "web"});
  world_.AsrJson("resume web");
  EXPECT_TRUE(BecomesTrue([&] {
    return world_.AsrJson("items show web").at("replicationHealth") == "Normal";
  })) << Log();
  Virsh({"undefine", "web"});
  ASSERT_TRUE(Comes("VmUndefined")) << Log();
  EXPECT_EQ(Newest("VmUndefined").at("severity"), "Warning");
  // Though its next cycle would be an hour away.
  EXPECT_TRUE(BecomesTrue([&] {
    return world_.AsrJson("items show web").at("replicationHealth") != "Normal";
  })) << Log();
  const std::string health = world_.AsrJson("items show web").at("healthErrors").dump();
  EXPECT_THAT(health, HasSubstr("no VM"));
  const std::string file = world_.directory() / "web.xml";
  MustRunShell("cat > " + file + " <<'XML'\n" + xml + "\nXML");
  Virsh({"define", file});
  world_.AsrJson("resume web");
  EXPECT_TRUE(BecomesTrue([&] {
    return world_.AsrJson("items show web").at("replicationHealth") == "Normal";
  })) << Log();
}

}  // namespace
}  // namespace asr::testing
