// The guard of a backup job, spoken to by hand: see core/source/guard_words.h.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>

#include "core/source/backup_guard.h"
#include "core/source/guard_words.h"
#include "storage/base/child_process.h"
#include "storage/base/passed_descriptor.h"
#include "tests/support/libvirt_lab.h"
#include "tests/support/temp_dir.h"

namespace asr::testing {
namespace {

constexpr std::size_t kUuidLetters = 36;

class LibvirtGuardTest : public ::testing::Test {
 protected:
  LibvirtGuardTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    channel_ = FileDescriptor(ends[0]);
    const FileDescriptor theirs(ends[1]);
    auto guard =
        ChildProcess::Start({ASR_BINARY, kBackupGuardWord},
                            {.descriptors = {}, .input = theirs.get(), .output = theirs.get()});
    if (guard) guard_.emplace(*std::move(guard));
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

  FileDescriptor channel_;
  std::optional<ChildProcess> guard_;
};

// It acts between two words: a connection of which the second one tells would keep QEMU waiting.
TEST_F(LibvirtGuardTest, AConnectionThatItHasNotHeardOfIsEndedToo) {
  ASSERT_TRUE(guard_.has_value());
  LibvirtGuest guest;
  guest.Start();
  const TempDir directory;
  const std::string scratch = directory.path() + "/scratch";
  Say(EncodeOrders({.uri = "qemu:///system",
                    .uuid = Virsh({"domuuid", guest.name()}).substr(0, kUuidLetters),
                    .socket_path = directory.path() + "/nbd",
                    .directories = {scratch},
                    .stall_limit = std::chrono::minutes(10),
                    .freeze_limit = std::chrono::seconds(30),
                    .reserve_bytes = 1}) +
      "\n");
  ASSERT_EQ(Hear(), guard_words::kReady);
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
