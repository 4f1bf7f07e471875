// The guard of a backup job, spoken to by hand: see core/source/guard_words.h.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "core/source/backup_guard.h"
#include "core/source/guard_words.h"
#include "storage/base/child_process.h"
#include "storage/base/passed_descriptor.h"
#include "tests/support/becomes_true.h"
#include "tests/support/libvirt_lab.h"
#include "tests/support/shell_command.h"

namespace asr::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class LibvirtGuardTest : public ::testing::Test {
 protected:
  // Ready when this returns, and asked to watch a job that begins.
  void StartGuard(const LibvirtGuest& guest, milliseconds stall_limit, milliseconds freeze_limit,
                  const std::string& scratch) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    channel_ = FileDescriptor(ends[0]);
    const FileDescriptor theirs(ends[1]);
    auto guard =
        ChildProcess::Start({ASR_BINARY, kBackupGuardWord},
                            {.descriptors = {}, .input = theirs.get(), .output = theirs.get()});
    ASSERT_TRUE(guard) << guard.error().Line();
    guard_.emplace(*std::move(guard));
    constexpr std::size_t kUuidLetters = 36;
    Say(EncodeOrders({.uri = "qemu:///system",
                      .uuid = Virsh({"domuuid", guest.name()}).substr(0, kUuidLetters),
                      .socket_path = Socket(guest),
                      .directories = {scratch},
                      .own_directories = {},
                      .stall_limit = stall_limit,
                      .freeze_limit = freeze_limit,
                      .reserve_bytes = 1}) +
        "\n");
    ASSERT_EQ(Hear(), guard_words::kReady);
  }
  void Say(const std::string& words) const {
    EXPECT_EQ(::send(channel_.get(), words.data(), words.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(words.size()));
  }
  [[nodiscard]] char Hear() const {
    struct pollfd waiting {
      .fd = channel_.get(), .events = POLLIN, .revents = 0
    };
    char word = 0;
    if (::poll(&waiting, 1, 30'000) != 1 || ::read(channel_.get(), &word, 1) != 1) return 0;
    return word;
  }
  static std::string Socket(const LibvirtGuest& guest) { return guest.directory() + "/nbd"; }
  static void BeginJob(const LibvirtGuest& guest, const std::string& scratch) {
    MustRunShell(fmt::format(
        "echo \"<domainbackup mode='pull'><server transport='unix' socket='{}'/><disks>"
        "<disk name='vda'><scratch file='{}/scratch'/></disk></disks></domainbackup>\" >{}/job",
        Socket(guest), scratch, guest.directory()));
    Virsh({"backup-begin", guest.name(), guest.directory() + "/job"});
  }
  static bool HasJob(const LibvirtGuest& guest) {
    return TryVirsh({"backup-dumpxml", guest.name()}).exit_code == 0;
  }
  static bool IsFrozen(const LibvirtGuest& guest) {
    const CommandOutput status =
        TryVirsh({"qemu-agent-command", guest.name(), R"({"execute":"guest-fsfreeze-status"})"});
    return status.text.find("frozen") != std::string::npos;
  }

  FileDescriptor channel_;
  std::optional<ChildProcess> guard_;
};

TEST_F(LibvirtGuardTest, AJobInWhichNothingMovesIsEnded) {
  LibvirtGuest guest;
  guest.Start();
  ASSERT_NO_FATAL_FAILURE(StartGuard(guest, seconds(1), seconds(30), guest.directory()));
  Say({guard_words::kBeginning});
  ASSERT_EQ(Hear(), guard_words::kWatching);
  BeginJob(guest, guest.directory());
  for (int i = 0; i < 30; ++i) {
    Say({guard_words::kMoved});
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_TRUE(HasJob(guest));
  // The guest's agent starts meanwhile; see kEndOfBackupLimit. The guard stays until the end.
  EXPECT_EQ(guard_->Wait(seconds(150)), 1);
  EXPECT_FALSE(HasJob(guest));
  EXPECT_EQ(guest.State(), "running");
}

TEST_F(LibvirtGuardTest, AGuestThatIsFrozenForTooLongIsThawed) {
  LibvirtGuest guest;
  guest.Start();
  guest.WaitForAgent();
  ASSERT_NO_FATAL_FAILURE(StartGuard(guest, seconds(600), seconds(2), guest.directory()));
  Say({guard_words::kFreezing});
  ASSERT_EQ(Hear(), guard_words::kWatching);
  Virsh({"domfsfreeze", guest.name()});
  EXPECT_TRUE(IsFrozen(guest));
  EXPECT_TRUE(BecomesTrue([&] { return !IsFrozen(guest); }));
  guest.WaitForMoreSynced(1);
  // Its owner thaws, too, and is not taken for one that died.
  EXPECT_FALSE(guard_->HasEnded());
  Say({guard_words::kThawed, guard_words::kDismissed});
  EXPECT_EQ(guard_->Wait(seconds(30)), 0);
}

TEST_F(LibvirtGuardTest, AGuestThatOurScratchFilePausedGoesOn) {
  LibvirtGuest guest;
  guest.Start();
  guest.WaitForSynced(1);
  guest.RunInGuest("yes | head -c 33554432 >/data/large; sync");
  const std::string scratch = "/run/lab/scratch";
  MustRunShell(fmt::format("mkdir -p {0} && mount -t tmpfs -o size=8m x {0}", scratch));
  ASSERT_NO_FATAL_FAILURE(StartGuard(guest, seconds(600), seconds(30), scratch));
  Say({guard_words::kBeginning});
  ASSERT_EQ(Hear(), guard_words::kWatching);
  BeginJob(guest, scratch);
  // It would end the job before that.
  ASSERT_EQ(::kill(guard_->pid(), SIGSTOP), 0);
  guest.RunInGuest(
      "(yes no | head -c 33554432 | dd of=/data/large bs=1M conv=notrunc,fsync) >/dev/null 2>&1 &");
  EXPECT_TRUE(BecomesTrue([&] { return guest.State() == "paused"; }));
  ASSERT_EQ(::kill(guard_->pid(), SIGCONT), 0);
  EXPECT_TRUE(BecomesTrue([&] { return guest.State() == "running" && !HasJob(guest); }));
  guest.WaitForMoreSynced(2);
  EXPECT_EQ(guard_->Wait(seconds(30)), 1);
}

// It acts between two words: a connection of which the second one tells would keep QEMU waiting.
TEST_F(LibvirtGuardTest, AConnectionThatItHasNotHeardOfIsEndedToo) {
  LibvirtGuest guest;
  guest.Start();
  const std::string scratch = guest.directory() + "/no-room";
  ASSERT_NO_FATAL_FAILURE(StartGuard(guest, seconds(600), seconds(30), scratch));
  Say({guard_words::kBeginning});
  ASSERT_EQ(Hear(), guard_words::kWatching);
  ASSERT_EQ(::kill(guard_->pid(), SIGSTOP), 0);
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const FileDescriptor reader(ends[0]);
  const FileDescriptor qemu(ends[1]);
  Say({guard_words::kMoved});
  ASSERT_EQ(SendWithDescriptor(channel_.get(), guard_words::kReading, reader.get()), 1);
  // Where there is no room it acts, after the one word that it reads first.
  std::filesystem::create_directory_symlink("/proc", scratch);
  ASSERT_EQ(::kill(guard_->pid(), SIGCONT), 0);
  struct pollfd waiting {
    .fd = qemu.get(), .events = POLLIN, .revents = 0
  };
  EXPECT_EQ(::poll(&waiting, 1, 30'000), 1);
  char letter = 0;
  EXPECT_EQ(::recv(qemu.get(), &letter, 1, MSG_DONTWAIT), 0);
}

}  // namespace
}  // namespace asr::testing
