#include "core/source/backup_guard.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/source/guard_words.h"
#include "storage/base/bytes.h"
#include "storage/base/subprocess.h"

namespace asr {
namespace {

constexpr std::chrono::seconds kStartLimit{30};
constexpr std::chrono::milliseconds kMovedInterval{100};

// A guard that is gone is no signal that ends us.
bool SendAll(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(descriptor, text.data(), text.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

Error GuardIsGone() {
  return MakeError(ErrorKind::kBusy, ErrorCode::kSnapshotFailed,
                   "the process that guards the VM's backup job has ended")
      .WithCause("the scratch file's file system has less than its reserve left")
      .WithCause("somebody ended it")
      .WithAction("make room beside the VM's images; then run the same command again")
      .Retryable();
}

}  // namespace

std::uint64_t ReserveBytes(std::uint64_t file_system_bytes) {
  const std::uint64_t wanted = std::clamp(file_system_bytes / 20, 256 * kMiB, 4 * kGiB);
  return std::min(wanted, file_system_bytes / 4);
}

Result<BackupGuard> BackupGuard::Start(const std::string& program, const GuardOrders& orders) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return Fail(ErrnoError(errno, "cannot make a socket for the guard"));
  }
  BackupGuard guard{FileDescriptor(ends[0])};
  const FileDescriptor theirs(ends[1]);
  ASR_CHECK(SpawnDetached({program, kBackupGuardWord}, {.directory = "/",
                                                        .stderr_path = "/dev/null",
                                                        .input = theirs.get(),
                                                        .output = theirs.get()}));
  if (!SendAll(guard.channel_.get(), EncodeOrders(orders) + "\n")) return Fail(GuardIsGone());
  return guard;
}

BackupGuard::BackupGuard(BackupGuard&& other) noexcept : channel_(std::move(other.channel_)) {}

Status BackupGuard::WaitUntilReady() {
  struct pollfd waiting {
    .fd = channel_.get(), .events = POLLIN, .revents = 0
  };
  int ready = -1;
  do {
    ready = ::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(kStartLimit).count()));
  } while (ready < 0 && errno == EINTR);
  char word = 0;
  if (ready == 1 && ::read(channel_.get(), &word, 1) == 1 && word == guard_words::kReady) {
    return {};
  }
  return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kHostUnreachable,
                        "the process that would guard the VM's backup job does not get hold of "
                        "the VM")
                  .WithCause("libvirtd was restarted, or refuses a second connection")
                  .WithAction("nothing was done to the VM; run the same command again")
                  .Retryable());
}

Status BackupGuard::Say(char word) {
  const std::lock_guard lock(mutex_);
  if (!channel_.valid() || !SendAll(channel_.get(), {&word, 1})) return Fail(GuardIsGone());
  return {};
}

Status BackupGuard::Freezing() { return Say(guard_words::kFreezing); }
Status BackupGuard::Thawed() { return Say(guard_words::kThawed); }
Status BackupGuard::Beginning() { return Say(guard_words::kBeginning); }

void BackupGuard::Moved() {
  {
    const std::lock_guard lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (now - last_moved_ < kMovedInterval) return;
    last_moved_ = now;
  }
  // Should it be gone, the next step that matters finds out.
  static_cast<void>(Say(guard_words::kMoved));
}

void BackupGuard::Dismiss() {
  static_cast<void>(Say(guard_words::kDismissed));
  const std::lock_guard lock(mutex_);
  channel_ = FileDescriptor();
}

}  // namespace asr
