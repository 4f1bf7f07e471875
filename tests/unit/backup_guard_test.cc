#include "core/source/backup_guard.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <optional>
#include <string>

#include "core/source/guard_words.h"
#include "storage/base/bytes.h"
#include "storage/base/child_process.h"
#include "storage/base/passed_descriptor.h"
#include "tests/support/temp_dir.h"

namespace asr {
namespace {

using std::chrono::milliseconds;

TEST(BackupGuardTest, KeepsATwentiethFreeWithinBounds) {
  EXPECT_EQ(ReserveBytes(kTiB), 4 * kGiB);
  EXPECT_EQ(ReserveBytes(40 * kGiB), 2 * kGiB);
  EXPECT_EQ(ReserveBytes(2 * kGiB), 256 * kMiB);
  EXPECT_EQ(ReserveBytes(64 * kMiB), 16 * kMiB);  // of a small one, no more than a quarter
}

TEST(BackupGuardTest, OrdersArriveAsTheyWereGiven) {
  const GuardOrders orders{.uri = "qemu:///system",
                           .uuid = "6a3c",
                           .socket_path = "/run/a \"b\"\n",
                           .directories = {"/a", "/b"},
                           .stall_limit = milliseconds(600'000),
                           .freeze_limit = milliseconds(30'000),
                           .reserve_bytes = 7};
  const std::string line = EncodeOrders(orders);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const auto read = DecodeOrders(line);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->uri, orders.uri);
  EXPECT_EQ(read->socket_path, orders.socket_path);
  EXPECT_EQ(read->directories, orders.directories);
  EXPECT_EQ(read->stall_limit, orders.stall_limit);
  EXPECT_EQ(read->freeze_limit, orders.freeze_limit);
  EXPECT_EQ(read->reserve_bytes, 7u);
  EXPECT_FALSE(DecodeOrders("").has_value());
  EXPECT_FALSE(DecodeOrders("{}").has_value());
}

// A program that is no guard says nothing, and ends: nothing is done to any VM then.
TEST(BackupGuardTest, AGuardThatDoesNotComeUpIsAnErrorAndNoWait) {
  auto guard = BackupGuard::Start(
      "/bin/true", {.uri = "test:///default", .uuid = "x", .socket_path = "x", .directories = {}});
  if (!guard) return;  // it ended even before it had its orders
  const Status ready = guard->WaitUntilReady();
  ASSERT_FALSE(ready.has_value());
  EXPECT_EQ(ready.error().code, ErrorCode::kHostUnreachable);
  EXPECT_TRUE(ready.error().retryable);
  guard->Dismiss();
}

// Speaks to a guard of libvirt's own test driver, whose one domain runs.
class BackupGuardProcessTest : public ::testing::Test {
 protected:
  BackupGuardProcessTest() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    channel_ = FileDescriptor(ends[0]);
    const FileDescriptor theirs(ends[1]);
    auto guard = ChildProcess::Start({ASR_BINARY, kBackupGuardWord},
                                     {.input = theirs.get(), .output = theirs.get()});
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
TEST_F(BackupGuardProcessTest, AConnectionThatItHasNotHeardOfIsEndedToo) {
  ASSERT_TRUE(guard_.has_value());
  const testing::TempDir directory;
  const std::string scratch = directory.path() + "/scratch";
  Say(EncodeOrders({.uri = "test:///default",
                    .uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f",
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
}  // namespace asr
