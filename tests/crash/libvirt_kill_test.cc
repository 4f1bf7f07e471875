// kill -9 of everything that takes part in a cycle of a live guest. The guest never stops, and the
// next cycle goes on without help.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "tests/support/asr_process.h"
#include "tests/support/becomes_true.h"
#include "tests/support/live_world.h"

namespace asr::testing {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Json = LiveWorld::Json;

class LibvirtKillTest : public ::testing::Test {
 protected:
  AsrProcess Start(const std::string& verb, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {verb, "web", "--state-dir", world_.state_directory(), "-y"};
    words.insert(words.end(), more.begin(), more.end());
    return AsrProcess(words, world_.directory() / "output");
  }
  static bool HasJob() { return TryVirsh({"backup-dumpxml", "web"}).exit_code == 0; }
  // Stopped, the process has its backup job open.
  static void StopWithJob(const AsrProcess& process) {
    for (int i = 0; i < 1000 && !process.HasEnded(); ++i) {
      std::this_thread::sleep_for(milliseconds(20));
      process.Signal(SIGSTOP);
      if (HasJob()) return;
      process.Signal(SIGCONT);
    }
  }
  // The guard's work.
  static void WaitUntilNoJob() {
    for (int i = 0; i < 300 && HasJob(); ++i) std::this_thread::sleep_for(milliseconds(100));
    EXPECT_FALSE(HasJob());
  }
  // As the error's text says.
  static void RemoveLostJob() {
    KillLibvirtd();
    MustRunShell("sed -i \"/async='backup'/d\" /run/libvirt/qemu/web.xml");
    RestartLibvirtd();
  }

  LiveWorld world_;
};

TEST_F(LibvirtKillTest, AsrIsKilledAtEveryMomentOfACycle) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {}}});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  int killed = 0;
  for (int delay_ms = 3; delay_ms <= 240; delay_ms += 7) {
    AsrProcess process = Start("replicate");
    std::this_thread::sleep_for(milliseconds(delay_ms));
    killed += process.Kill() ? 1 : 0;
    EXPECT_EQ(guest.State(), "running") << delay_ms;
  }
  EXPECT_GT(killed, 10);
  WaitUntilNoJob();
  // What changed was known all the time: nothing says that it had to compare.
  world_.AsrJson("replicate web");
  EXPECT_THAT(world_.said(), IsEmpty());
  world_.ExpectGoesOn(guest);
  EXPECT_EQ(MustRunShell("virsh -c qemu:///system checkpoint-list web --name | grep -c ^asr-"),
            "1\n");
}

TEST_F(LibvirtKillTest, AGuestDoesNotStayFrozenWhateverIsKilled) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForAgent();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  for (int delay_ms = 40; delay_ms <= 160; delay_ms += 12) {
    AsrProcess process = Start("replicate", {"--app-consistent"});
    std::this_thread::sleep_for(milliseconds(delay_ms));
    if (delay_ms % 24 == 16) {
      KillLibvirtd();
      process.Kill();
      RestartLibvirtd();
    } else {
      process.Kill();
    }
    // Frozen, it would write nothing.
    guest.WaitForMoreSynced(3);
    if (world_.TryAsr("replicate web").text.find("knows nothing of it") != std::string::npos) {
      RemoveLostJob();
    }
  }
  WaitUntilNoJob();
  world_.AsrJson("replicate web --app-consistent");
  world_.ExpectGoesOn(guest);
}

// What its guard and it did not get to do, the next cycle does.
TEST_F(LibvirtKillTest, AFreezeThatOutlivedAllIsEndedByTheNextCycle) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForAgent();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  Virsh({"domfsfreeze", "web"});
  const auto item = world_.AsrJson("items show web").at("id").get<std::string>();
  // As the cycle that was cut has left it: the note names the run of the VM.
  MustRunShell(
      fmt::format("mkdir -p {0}/frozen && printf $(virsh -c qemu:///system domid web) "
                  ">{0}/frozen/{1}",
                  world_.state_directory(), item));
  const std::int64_t frozen = guest.LastSynced();
  world_.AsrJson("replicate web");
  EXPECT_GT(guest.WaitForMoreSynced(2), frozen);
  EXPECT_EQ(MustRunShell("ls " + world_.state_directory() + "/frozen"), "");
  world_.ExpectGoesOn(guest);
}

TEST_F(LibvirtKillTest, LibvirtdIsKilledInTheMiddleOfACycle) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  for (int delay_ms = 20; delay_ms <= 260; delay_ms += 40) {
    AsrProcess process = Start("replicate");
    std::this_thread::sleep_for(milliseconds(delay_ms));
    KillLibvirtd();
    RestartLibvirtd();
    process.Wait();
    EXPECT_EQ(guest.State(), "running") << delay_ms;
  }
  if (const CommandOutput refused = world_.TryAsr("replicate web"); refused.exit_code != 0) {
    EXPECT_THAT(refused.text, HasSubstr("and knows nothing of it"));
    RemoveLostJob();
  }
  WaitUntilNoJob();
  world_.ExpectGoesOn(guest);
}

// libvirt 9.0 comes back so if it is killed just when a job begins or ends.
TEST_F(LibvirtKillTest, AJobThatLibvirtLostIsNamedWithItsCure) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  // What libvirt writes of the job that has just ended would replace what is written here.
  EXPECT_TRUE(BecomesTrue([] {
    return Virsh({"domjobinfo", "web"}).find("None") != std::string::npos;
  }));
  KillLibvirtd();
  MustRunShell(
      "sed -i \"s#^</domstatus>#<job type='none' async='backup' flags='0x0' "
      "asyncStarted='1'/></domstatus>#\" /run/libvirt/qemu/web.xml");
  RestartLibvirtd();
  const auto start = std::chrono::steady_clock::now();
  const CommandOutput refused = world_.TryAsr("replicate web");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.text, HasSubstr("libvirt believes that a backup job has the VM"));
  EXPECT_THAT(refused.text, HasSubstr("/run/libvirt/qemu/web.xml"));
  RemoveLostJob();
  world_.ExpectGoesOn(guest);
}

// Killed a moment earlier, libvirt comes back without any job, and QEMU goes on with it: it copies
// what the guest overwrites until the scratch file's place is full.
TEST_F(LibvirtKillTest, AJobThatOnlyQemuKnowsIsEnded) {
  LibvirtGuest guest({.name = "web", .disks = {{}, {}}});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  // Stopped a moment earlier, asr may have told libvirt to end it.
  const auto is_open = [] {
    if (!HasJob()) return false;
    std::this_thread::sleep_for(milliseconds(300));
    return HasJob();
  };
  const auto forget_job = [&](std::unique_ptr<AsrProcess>& process) {
    for (int i = 0; i < 50 && !is_open(); ++i) {
      if (process) {
        process->Signal(SIGCONT);
        process->Wait();
      }
      process = std::make_unique<AsrProcess>(
          std::vector<std::string>{"replicate", "web", "--state-dir", world_.state_directory()},
          world_.directory() / "output");
      StopWithJob(*process);
    }
    ASSERT_TRUE(is_open());
    KillLibvirtd();
    MustRunShell(
        "sed -i -e \"/async='backup'/d\" -e '/<domainbackup/,/<.domainbackup>/d' "
        "/run/libvirt/qemu/web.xml");
    RestartLibvirtd();
    EXPECT_FALSE(HasJob());
  };
  const auto has_copies = [] {
    return Virsh({"qemu-monitor-command", "web", R"({"execute":"query-jobs"})"}).find("backup") !=
           std::string::npos;
  };
  {
    // asr and its guard die with it: the next cycle ends it.
    std::unique_ptr<AsrProcess> process;
    forget_job(process);
    // The lab has processes of its own.
    MustRunShell("kill -9 $(grep -la 'backup[-]guard' /proc/[0-9]*/cmdline | cut -d/ -f3)");
    process->Kill();
    EXPECT_TRUE(has_copies());
    EXPECT_THAT(world_.TryAsr("replicate web").text, HasSubstr("that libvirt had forgotten"));
  }
  {
    std::unique_ptr<AsrProcess> process;
    forget_job(process);
    EXPECT_TRUE(has_copies());
    process->Kill();
    for (int i = 0; i < 300 && has_copies(); ++i) std::this_thread::sleep_for(milliseconds(100));
    EXPECT_FALSE(has_copies());
  }
  EXPECT_EQ(guest.State(), "running");
  world_.ExpectGoesOn(guest);
}

TEST_F(LibvirtKillTest, QemuIsKilledInTheMiddleOfACycle) {
  LibvirtGuest guest({.name = "web"});
  guest.Start();
  guest.WaitForSynced(5);
  world_.AsrJson("enable web --policy gold");
  for (const int delay_ms : {60, 140, 220}) {
    AsrProcess process = Start("replicate");
    std::this_thread::sleep_for(milliseconds(delay_ms));
    guest.KillQemu();
    process.Wait();
    guest.Start();
    guest.WaitForMoreSynced(2);
  }
  world_.ExpectGoesOn(guest);
}

TEST_F(LibvirtKillTest, AFullScratchFileEndsTheJobAndNotTheGuest) {
  LibvirtGuest guest({.name = "web", .disks = {{.size_bytes = 512 * kMiB}}});
  guest.Start();
  guest.WaitForSynced(5);
  guest.WriteRandomFile("/data/large", 80 * kMiB);
  MustRunShell("mkdir -p /run/lab/scratch && mount -t tmpfs -o size=64m x /run/lab/scratch");
  world_.Asr("config set scratch-dir /run/lab/scratch");
  for (const bool is_killed : {true, false}) {
    AsrProcess process = [&] {
      return AsrProcess(
          {"enable", "web", "--policy", "gold", "--state-dir", world_.state_directory(), "-y"},
          world_.directory() / "output");
    }();
    StopWithJob(process);
    ASSERT_TRUE(HasJob());
    // In place: what is overwritten goes to the scratch file, which has no room for it.
    if (is_killed) process.Kill();
    const std::int64_t before = guest.LastSynced();
    guest.RunInGuest("dd if=/dev/zero of=/data/large bs=1M count=80 conv=notrunc,fsync");
    WaitUntilNoJob();
    EXPECT_EQ(guest.State(), "running");
    EXPECT_GT(guest.WaitForMoreSynced(2), before);
    if (is_killed) continue;
    process.Signal(SIGCONT);
    EXPECT_NE(process.Wait(), 0);
    EXPECT_THAT(MustRunShell("cat " + world_.directory() / "output"),
                HasSubstr("backup job of VM web ended"));
  }
  world_.AsrJson("enable web --policy gold");
  world_.ExpectGoesOn(guest);
}

}  // namespace
}  // namespace asr::testing
