#include "core/source/backup_guard.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include "core/source/guard_words.h"
#include "storage/base/bytes.h"
#include "storage/base/passed_descriptor.h"
#include "storage/base/subprocess.h"

namespace asr {
namespace {

constexpr std::chrono::seconds kAnswerLimit{30};
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
      .WithCause("a file system of scratch files or change logs has less than its reserve left")
      .WithCause("somebody ended it")
      .WithAction(
          "make room beside the VM's images, and in asr's state directory; then run the same "
          "command again")
      .Retryable();
}

Error NoRoom() {
  return MakeError(ErrorKind::kNoSpace, ErrorCode::kNoSpace,
                   "there is less than the reserve left where scratch files and change logs of "
                   "the VM go")
      .WithCause(
          "a twentieth of each of these file systems, 256 MiB to 4 GiB, stays free: a full "
          "one would pause the VM")
      .WithAction(
          "make room beside the VM's images, and in asr's state directory, where logs of block "
          "devices and of other machines' VMs go; or give scratch files another place: asr config "
          "set scratch-dir DIR")
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

std::optional<char> BackupGuard::Hear() const {
  struct pollfd waiting {
    .fd = channel_.get(), .events = POLLIN, .revents = 0
  };
  int ready = -1;
  do {
    ready = ::poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(kAnswerLimit).count()));
  } while (ready < 0 && errno == EINTR);
  char word = 0;
  if (ready != 1 || ::read(channel_.get(), &word, 1) != 1) return std::nullopt;
  return word;
}

Status BackupGuard::WaitUntilReady() {
  const std::optional<char> word = Hear();
  if (word == guard_words::kReady) return {};
  if (word == guard_words::kNoRoom) return Fail(NoRoom());
  return Fail(MakeError(ErrorKind::kBusy, ErrorCode::kHostUnreachable,
                        "the process that would guard the VM's backup job does not get hold of "
                        "the VM")
                  .WithCause("libvirtd was restarted, or refuses a second connection")
                  .WithAction("nothing was done to the VM; run the same command again")
                  .Retryable());
}

Status BackupGuard::Say(char word) {
  const std::lock_guard lock(mutex_);
  is_gone_ = is_gone_ || !channel_.valid() || !SendAll(channel_.get(), {&word, 1});
  return is_gone_ ? Status(Fail(GuardIsGone())) : Status();
}

Status BackupGuard::Reading(int connection) {
  const std::lock_guard lock(mutex_);
  is_gone_ = is_gone_ || !channel_.valid() ||
             SendWithDescriptor(channel_.get(), guard_words::kReading, connection) != 1;
  return is_gone_ ? Status(Fail(GuardIsGone())) : Status();
}

Status BackupGuard::Ask(char word) {
  ASR_CHECK(Say(word));
  if (Hear() == guard_words::kWatching) return {};
  return Fail(GuardIsGone());
}

Status BackupGuard::Freezing() { return Ask(guard_words::kFreezing); }
Status BackupGuard::Beginning() { return Ask(guard_words::kBeginning); }
Status BackupGuard::Thawed() { return Say(guard_words::kThawed); }

// A guard that is busy has enough to hear: only one that is gone counts.
void BackupGuard::Moved() {
  const std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - last_moved_ < kMovedInterval || !channel_.valid()) return;
  last_moved_ = now;
  const char word = guard_words::kMoved;
  const ssize_t sent = ::send(channel_.get(), &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) is_gone_ = true;
}

Status BackupGuard::Check() {
  const std::lock_guard lock(mutex_);
  return is_gone_ ? Status(Fail(GuardIsGone())) : Status();
}

void BackupGuard::Dismiss() {
  static_cast<void>(Say(guard_words::kDismissed));
  const std::lock_guard lock(mutex_);
  channel_ = FileDescriptor();
}

}  // namespace asr
