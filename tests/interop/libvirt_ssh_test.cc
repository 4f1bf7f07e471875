// Live guests of another machine, behind ssh: the lab itself, by a real ssh server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/asr_process.h"
#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

class LibvirtSshTest : public ::testing::Test {
 protected:
  LibvirtSshTest() {
    ReachLabBySsh();
    world_.Asr("host remove kvm1");
    world_.AsrJson("host add kvm1 --kind libvirt --uri qemu+ssh://root@lab-host/system");
    EXPECT_THAT(world_.said(), IsEmpty());
  }
  static bool HasJob(const LibvirtGuest& guest) {
    return TryVirsh({"backup-dumpxml", guest.name()}).exit_code == 0;
  }
  AsrProcess Start(const std::string& verb, const LibvirtGuest& guest) {
    return AsrProcess({verb, guest.name(), "--state-dir", world_.state_directory(), "-y"},
                      world_.directory() / "output");
  }
  // Stopped, the process has its backup job open. False: it has ended before that was seen.
  static bool StopWithJob(AsrProcess& process, const LibvirtGuest& guest) {
    while (!process.HasEnded()) {
      if (!HasJob(guest)) continue;
      process.Signal(SIGSTOP);
      if (HasJob(guest) && !process.HasEnded()) return true;
      process.Signal(SIGCONT);
    }
    return false;
  }
  // A cycle that is stopped with its backup job open; as many as it takes until one is caught.
  std::unique_ptr<AsrProcess> StopCycleWithJob(const LibvirtGuest& guest) {
    for (int i = 0; i < kMostTries; ++i) {
      guest.WriteRandomFile("/data/large", 20 * kMiB);
      auto process = std::make_unique<AsrProcess>(
          std::vector<std::string>{"replicate", guest.name(), "--state-dir",
                                   world_.state_directory(), "-y"},
          world_.directory() / "output");
      if (StopWithJob(*process, guest)) return process;
    }
    throw std::runtime_error("no cycle was seen with its backup job open");
  }
  static bool IsFrozen(const LibvirtGuest& guest) {
    const CommandOutput status =
        TryVirsh({"qemu-agent-command", guest.name(), R"({"execute":"guest-fsfreeze-status"})"});
    return status.text.find("frozen") != std::string::npos;
  }
  // The same with its guest's file systems frozen.
  std::unique_ptr<AsrProcess> StopCycleWhileFrozen(const LibvirtGuest& guest) {
    for (int i = 0; i < kMostTries; ++i) {
      auto process = std::make_unique<AsrProcess>(
          std::vector<std::string>{"replicate", guest.name(), "--app-consistent", "--state-dir",
                                   world_.state_directory(), "-y"},
          world_.directory() / "output");
      while (!process->HasEnded()) {
        std::this_thread::sleep_for(milliseconds(1));
        if (RunShell("grep -q frozen /run/asr-guard-*/alive").exit_code != 0) continue;
        process->Signal(SIGSTOP);
        if (IsFrozen(guest)) return process;
        process->Signal(SIGCONT);
      }
    }
    throw std::runtime_error("no cycle was seen with its guest frozen");
  }
  // Nobody gets to the other machine, nor is there any more.
  static void CutAllLines() {
    MustRunShell("mv /run/lab/home/.ssh/config /run/lab/away && kill -KILL $(pgrep -x ssh)");
  }
  static void MendLines() { MustRunShell("mv /run/lab/away /run/lab/home/.ssh/config"); }
  // A guard whose owner died while a job began stays 45 s, for that may come late.
  static void ExpectNothingLeft(const LibvirtGuest& guest) {
    const auto left = [&] { return HasJob(guest) || RunShell("pgrep -x 'ssh|sshd'").text != ""; };
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(180);
    while (left() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(100));
    }
    EXPECT_FALSE(HasJob(guest));
    EXPECT_EQ(RunShell("pgrep -a -x 'ssh|sshd'").text, "");
  }

  static constexpr int kMostTries = 20;
  LiveWorld world_;
};

// libvirt cuts the name where it makes the directory in which the socket lies.
TEST_F(LibvirtSshTest, DeltasAndAnAppConsistentPointOfAGuestBehindSsh) {
  LibvirtGuest guest({.name = "web-server-of-the-shop-01", .disks = {{}, {.format = "raw"}}});
  const std::string name = guest.name();
  guest.Start();
  guest.WaitForAgent();
  world_.AsrJson("enable " + name + " --policy gold");
  EXPECT_THAT(world_.said(), IsEmpty());
  std::vector<std::pair<std::string, std::int64_t>> points;
  for (int i = 0; i < 3; ++i) {
    const std::int64_t synced = guest.WaitForMoreSynced(3);
    const Json replicated = world_.AsrJson("replicate " + name);
    EXPECT_THAT(world_.said(), IsEmpty());
    points.emplace_back(replicated.at("point").at("id").get<std::string>(), synced);
  }
  const Json frozen = world_.AsrJson("replicate " + name + " --app-consistent");
  EXPECT_EQ(frozen.at("point").at("consistency"), "app");
  EXPECT_EQ(world_.Restore(guest, "latest-app", JournalState::kFrozen).problem, "");
  for (const auto& [point, synced] : points) {
    const GuestJournal journal = world_.Restore(guest, point, JournalState::kCrash);
    EXPECT_EQ(journal.problem, "") << point;
    EXPECT_GE(journal.SyncedNumber(), synced) << point;
  }
  world_.ExpectGoesOn(guest);
  EXPECT_EQ(RunShell(fmt::format("ls {} | grep -e scratch -e hrl", guest.directory())).text, "");
  ExpectNothingLeft(guest);
  world_.AsrJson("disable " + name);
  EXPECT_EQ(Virsh({"checkpoint-list", name, "--name"}), "");
}

TEST_F(LibvirtSshTest, OfAKilledAsrNothingStays) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {}}});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  int killed = 0;
  for (int delay_ms = 50; delay_ms <= 1500; delay_ms += 120) {
    AsrProcess process = Start("replicate", guest);
    std::this_thread::sleep_for(milliseconds(delay_ms));
    killed += process.Kill() ? 1 : 0;
    EXPECT_EQ(guest.State(), "running") << delay_ms;
  }
  EXPECT_GT(killed, 4);
  ExpectNothingLeft(guest);
  world_.ExpectGoesOn(guest);
}

TEST_F(LibvirtSshTest, ALineThatBreaksCostsTheCycleAndNoMore) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  // One that had read all by then ends well; one whose job was just beginning hears of it from
  // libvirt.
  std::string said;
  for (int i = 0; i < kMostTries && said.find("the ssh connection to") == std::string::npos; ++i) {
    const auto process = StopCycleWithJob(guest);
    MustRunShell(fmt::format("pkill -KILL -x ssh -P {}", process->pid()));
    process->Signal(SIGCONT);
    const int exit_code = process->Wait();
    said = MustRunShell("cat " + world_.directory() / "output");
    if (exit_code != 0) {
      EXPECT_THAT(said, HasSubstr("ASR3003"));
    }
    EXPECT_EQ(guest.State(), "running");
    ExpectNothingLeft(guest);
  }
  EXPECT_THAT(said, HasSubstr("the ssh connection to root@lab-host is lost"));
  world_.ExpectGoesOn(guest);
}

// Its host ends the job by itself.
TEST_F(LibvirtSshTest, AJobWhoseLineIsCutEndsBeforeItIsBack) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  const auto process = StopCycleWithJob(guest);
  CutAllLines();
  process->Kill();
  for (int i = 0; i < 900 && HasJob(guest); ++i) std::this_thread::sleep_for(milliseconds(100));
  EXPECT_FALSE(HasJob(guest));
  EXPECT_EQ(world_.TryAsr("replicate web").exit_code, 1);
  EXPECT_EQ(guest.State(), "running");
  MendLines();
  ExpectNothingLeft(guest);
  world_.ExpectGoesOn(guest);
}

TEST_F(LibvirtSshTest, AGuestThatIsFrozenWhenTheLineIsCutIsThawed) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForAgent();
  world_.AsrJson("enable web --policy gold");
  const auto process = StopCycleWhileFrozen(guest);
  CutAllLines();
  process->Kill();
  // Not by the guard of this machine, which has no way there.
  for (int i = 0; i < 900 && IsFrozen(guest); ++i) std::this_thread::sleep_for(milliseconds(100));
  EXPECT_FALSE(IsFrozen(guest));
  guest.WaitForMoreSynced(2);
  EXPECT_EQ(world_.TryAsr("replicate web").exit_code, 1);
  MendLines();
  ExpectNothingLeft(guest);
  world_.ExpectGoesOn(guest);
}

// Another program's job is not ours to end; and a guard that is killed is as good as a cut line.
TEST_F(LibvirtSshTest, ASwitchWithoutSignsOfLifeEndsItsOwnJobOnly) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  const auto process = StopCycleWithJob(guest);
  MustRunShell("kill -KILL $(pgrep -f 'asr [b]ackup-guard')");
  process->Kill();
  Virsh({"domjobabort", "web"});
  const std::string job = world_.directory() / "job.xml";
  MustRunShell(fmt::format(
      "echo \"<domainbackup mode='pull'><server transport='unix' socket='{0}/nbd'/><disks>"
      "<disk name='vda'><scratch file='{0}/other-scratch'/></disk></disks></domainbackup>\" >{1}",
      guest.directory(), job));
  Virsh({"backup-begin", "web", job});
  const auto is_armed = [] { return RunShell("ls /run | grep asr-guard").text != ""; };
  EXPECT_TRUE(is_armed());
  for (int i = 0; i < 180 && is_armed(); ++i) std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_FALSE(is_armed());
  EXPECT_TRUE(HasJob(guest));
  Virsh({"domjobabort", "web"});
  world_.ExpectGoesOn(guest);
}

TEST_F(LibvirtSshTest, TheDoctorTellsOfAHostThatCannotEndAJobByItself) {
  const auto doctor = [&] { return world_.TryAsr("doctor -o json").text; };
  EXPECT_THAT(doctor(), HasSubstr("ends our backup job by itself"));
  MustRunShell("mount --bind /dev/null \"$(command -v virsh)\"");
  EXPECT_THAT(doctor(), HasSubstr("apt install libvirt-clients"));
  MustRunShell("umount /usr/bin/virsh");
}

TEST_F(LibvirtSshTest, WhatIsWrongWithKeysIsNamedWithItsCure) {
  MustRunShell("ssh-keygen -q -t ed25519 -N '' -f /run/lab/other_key; : >/run/lab/no_hosts");
  const auto add = [&](const std::string& uri) {
    return world_.TryAsr("host add other --kind libvirt --uri '" + uri + "'");
  };
  const CommandOutput unknown =
      add("qemu+ssh://root@lab-host/system?known_hosts=/run/lab/no_hosts");
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(unknown.text, AllOf(HasSubstr("Host key verification failed"),
                                  HasSubstr("ssh-keyscan lab-host >>/run/lab/no_hosts")));
  const CommandOutput refused = add("qemu+ssh://root@lab-host/system?keyfile=/run/lab/other_key");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.text, HasSubstr("ssh-copy-id root@lab-host"));
  for (const char* bad : {"qemu+ssh://-oProxyCommand=x/system", "qemu+ssh://root@/system",
                          "qemu+ssh://lab-host/session", "qemu+tcp://lab-host/system",
                          "qemu+ssh://lab-host/system?command=/bin/x"}) {
    EXPECT_EQ(add(bad).exit_code, 2) << bad;
  }
  world_.Asr(
      "host add other --kind libvirt --uri "
      "'qemu+ssh://root@lab-host/system?known_hosts=/run/lab/no_hosts&no_verify=1'");
}

TEST_F(LibvirtSshTest, TheImagesOfAGuestThatIsOffAreReadThere) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  guest.Shutdown();
  const std::int64_t at_shutdown = guest.LastSynced();
  const Json off = world_.AsrJson("replicate web");
  EXPECT_TRUE(off.at("point").at("new").get<bool>());
  EXPECT_THAT(world_.said(), IsEmpty());
  const GuestJournal journal =
      world_.Restore(guest, off.at("point").at("id").get<std::string>(), JournalState::kFrozen);
  EXPECT_EQ(journal.problem, "");
  // The last one may be synced and not said.
  EXPECT_GE(journal.SyncedNumber(), at_shutdown);
  EXPECT_LE(journal.SyncedNumber(), at_shutdown + 1);
  // The stamps of what was at rest for a while are noted, and tell that nobody touched it.
  std::this_thread::sleep_for(std::chrono::seconds(4));
  EXPECT_FALSE(world_.AsrJson("replicate web").at("point").at("new").get<bool>());
  const Json unread = world_.AsrJson("replicate web");
  EXPECT_FALSE(unread.at("point").at("new").get<bool>());
  EXPECT_EQ(unread.at("job").at("stats").at("bytesRead"), 0) << unread.dump();
  ExpectNothingLeft(guest);
  // Killed while it reads them.
  for (int delay_ms = 300; delay_ms <= 1200; delay_ms += 300) {
    AsrProcess process = Start("replicate", guest);
    std::this_thread::sleep_for(milliseconds(delay_ms));
    process.Kill();
  }
  ExpectNothingLeft(guest);
  for (int i = 0; i < 50 && RunShell("pgrep -x qemu-nbd").text != ""; ++i) {
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_EQ(RunShell("pgrep -a -x qemu-nbd").text, "");
  guest.Start();
  guest.WaitForMoreSynced(2);
  world_.ExpectGoesOn(guest);
  guest.Shutdown();
  world_.AsrJson("disable web --keep-data");
  EXPECT_THAT(world_.said(), IsEmpty());
}

TEST_F(LibvirtSshTest, AGuestThatIsStartedWhileItsImagesAreReadStartsAtOnce) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {.format = "raw"}}});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  bool is_seen = false;
  for (int i = 0; i < kMostTries && !is_seen; ++i) {
    guest.WriteRandomFile("/data/large", 20 * kMiB);
    guest.WriteRandomFile("/data-vdb/large", 20 * kMiB);
    guest.Shutdown();
    AsrProcess process = Start("replicate", guest);
    while (!process.HasEnded() && RunShell("pgrep -c -x qemu-nbd").text != "2\n") {
    }
    process.Signal(SIGSTOP);
    guest.Start();
    const std::int64_t synced = guest.WaitForMoreSynced(3);
    process.Signal(SIGCONT);
    EXPECT_EQ(process.Wait(), 0);
    const std::string said = MustRunShell("cat " + world_.directory() / "output");
    is_seen = said.find("it was started or stopped, the pass is done again") != std::string::npos;
    if (!is_seen) continue;
    const GuestJournal journal = world_.Restore(guest, "latest", JournalState::kCrash);
    EXPECT_EQ(journal.problem, "");
    EXPECT_GE(journal.SyncedNumber(), synced);
  }
  EXPECT_TRUE(is_seen);
  ExpectNothingLeft(guest);
  world_.ExpectGoesOn(guest);
}

// What QEMU has open is not read behind its back.
TEST_F(LibvirtSshTest, ImagesThatSomebodyWritesAreNotRead) {
  LibvirtGuest guest({.name = "web"});
  world_.AsrJson("enable web --policy gold");
  EXPECT_THAT(world_.said(), IsEmpty());
  MustRunShell(
      fmt::format("qemu-nbd --fork --pid-file=/run/lab/writer --socket=/run/lab/nbd --persistent "
                  "-f qcow2 {}",
                  guest.disks()[0]));
  const CommandOutput locked = world_.TryAsr("replicate web");
  EXPECT_EQ(locked.exit_code, 1);
  EXPECT_THAT(locked.text, HasSubstr("ASR1107"));
  MustRunShell("kill $(cat /run/lab/writer)");
}

// The guard looks at the other machine's disks.
TEST_F(LibvirtSshTest, AFullScratchFileThereEndsTheJobAndNotTheGuest) {
  LibvirtGuest guest({.name = "web", .disks = {{.size_bytes = 512 * kMiB}}});
  guest.Start();
  guest.WaitForSynced(5);
  guest.RunInGuest("yes | head -c 83886080 >/data/large; sync");
  MustRunShell("mkdir -p /run/lab/scratch && mount -t tmpfs -o size=64m x /run/lab/scratch");
  world_.Asr("config set scratch-dir /run/lab/scratch");
  AsrProcess process(
      {"enable", "web", "--policy", "gold", "--state-dir", world_.state_directory(), "-y"},
      world_.directory() / "output");
  ASSERT_TRUE(StopWithJob(process, guest));
  process.Kill();
  guest.RunInGuest("yes no | head -c 83886080 | dd of=/data/large bs=1M conv=notrunc,fsync");
  ExpectNothingLeft(guest);
  EXPECT_EQ(guest.State(), "running");
  guest.WaitForMoreSynced(2);
}

}  // namespace
}  // namespace asr::testing
