// The other end of the socket: see backup_guard.h.
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/source/dead_man_switch.h"
#include "core/source/domain_xml.h"
#include "core/source/end_backup.h"
#include "core/source/guard_words.h"
#include "core/source/libvirt_host.h"
#include "core/source/lost_backup.h"
#include "core/source/space_watch.h"
#include "storage/base/end_connection.h"
#include "storage/base/passed_descriptor.h"

namespace asr {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookInterval{100};
// For a freeze or a begin that our owner called for just before it died, and that libvirt, which
// lets a begin wait for half a minute, has not done yet.
constexpr std::chrono::seconds kLateCall{45};
// libvirtd may be down meanwhile, or the network to another machine.
constexpr std::chrono::minutes kUndoLimit{30};
constexpr std::chrono::hours kRemoteUndoLimit{24};
constexpr std::chrono::milliseconds kEndLook{500};
constexpr std::chrono::milliseconds kRetryPause{500};
constexpr std::chrono::seconds kLongestRetryPause{10};
// Each look at another machine is a message to it and back.
constexpr std::chrono::milliseconds kRemoteLookInterval{500};
constexpr std::chrono::seconds kReconnectPause{1};
constexpr std::chrono::seconds kThawPause{5};

constexpr int kNothingToDo = 0;
constexpr int kUndone = 1;
constexpr int kCouldNot = 2;

class Guard {
 public:
  Guard(GuardOrders orders, std::optional<SshTarget> ssh)
      : orders_(std::move(orders)),
        is_remote_(ssh.has_value()),
        space_(orders_.directories, orders_.own_directories, orders_.reserve_bytes, ssh) {
    if (ssh) switch_.emplace(*std::move(ssh), orders_.uuid, orders_.socket_path);
  }

  int Run() {
    if (!Connect()) return kCouldNot;
    if (switch_ && !switch_->Arm()) return kCouldNot;
    const SpaceWatch::State space = space_.Look();
    if (space == SpaceWatch::State::kUnknown) return kCouldNot;
    const bool is_short = space == SpaceWatch::State::kShort;
    if (!Answer(is_short ? guard_words::kNoRoom : guard_words::kReady)) return kCouldNot;
    last_moved_ = steady_clock::now();
    while (true) {
      const char word = NextWord().value_or(guard_words::kMoved);
      const bool is_dismissed = word == guard_words::kDismissed;
      if (is_dismissed && !frozen_since_) return kNothingToDo;
      if (is_dismissed) is_begun_ = false;  // the job has ended
      const bool must_act = is_dismissed || word == kOwnerIsGone || MustAct();
      if (must_act) return Undo() ? kUndone : kCouldNot;
    }
  }

 private:
  static constexpr char kOwnerIsGone = '\0';

  Status Connect() {
    last_connected_ = steady_clock::now();
    ASR_TRY(LibvirtHost host, LibvirtHost::Connect(orders_.uri));
    ASR_TRY(LibvirtDomain domain, host.FindDomain(orders_.uuid));
    domain_.emplace(std::move(domain));
    return {};
  }

  // nullopt: nothing was said for a while.
  std::optional<char> NextWord() {
    struct pollfd waiting {
      .fd = STDIN_FILENO, .events = POLLIN, .revents = 0
    };
    const int ready = ::poll(&waiting, 1, static_cast<int>(kLookInterval.count()));
    if (ready <= 0) return std::nullopt;
    char word = 0;
    const ssize_t count = Receive(word, 0);
    if (count < 0 && errno == EINTR) return std::nullopt;
    if (count != 1) return kOwnerIsGone;
    last_moved_ = steady_clock::now();
    if (word == guard_words::kFreezing) BeginFreeze();
    if (word == guard_words::kThawed) EndFreeze();
    if (word == guard_words::kBeginning) Begin();
    return word;
  }

  ssize_t Receive(char& word, int flags) {
    FileDescriptor reader;
    const ssize_t count = ReceiveWithDescriptor(STDIN_FILENO, word, reader, flags);
    if (reader.valid()) readers_.push_back(std::move(reader));
    return count;
  }

  // See BackupGuard::Reading. Those that were not heard of yet, too: whatever else was said before
  // is answered by what is done now.
  void EndReaders() {
    for (char word = 0; Receive(word, MSG_DONTWAIT) == 1;) {
    }
    for (const FileDescriptor& reader : readers_) EndConnection(reader.get());
    readers_.clear();
  }

  static bool Answer(char word) { return ::write(STDOUT_FILENO, &word, 1) == 1; }

  bool IsKnownThere(bool is_frozen) {
    return !switch_ || switch_->Tell(is_frozen, was_paused_before_);
  }

  void BeginFreeze() {
    if (IsKnownThere(/*is_frozen=*/true)) frozen_since_ = last_moved_;
    static_cast<void>(Answer(frozen_since_ ? guard_words::kWatching : guard_words::kCannot));
  }

  void EndFreeze() {
    frozen_since_.reset();
    if (switch_) switch_->Thawed();
  }

  void Begin() {
    // What paused it before has nothing to do with us.
    const auto is_paused = domain_->IsPausedByIoError();
    was_paused_before_ = is_paused && *is_paused;
    is_begun_ = IsKnownThere(frozen_since_.has_value());
    static_cast<void>(Answer(is_begun_ ? guard_words::kWatching : guard_words::kCannot));
  }

  // Once the job may be open.
  bool MustAct() {
    const auto now = steady_clock::now();
    if (frozen_since_ && now - *frozen_since_ > orders_.freeze_limit) ThawNow(now);
    if (!is_begun_) return false;
    if (now - last_moved_ > orders_.stall_limit) return true;
    if (is_remote_ && now - last_looked_ < kRemoteLookInterval) return false;
    last_looked_ = now;
    // A job whose scratch file nobody sees could pause the VM.
    if (space_.Look() != SpaceWatch::State::kEnough) return true;
    const auto is_paused = domain_->IsPausedByIoError();
    if (is_paused && !*is_paused) was_paused_before_ = false;
    if (is_paused) return *is_paused && !was_paused_before_;
    // libvirtd was started anew, perhaps.
    if (now - last_connected_ > kReconnectPause) static_cast<void>(Connect());
    return false;
  }

  // It is the owner's to say what the point is then. Until it has thawed the guest itself, a freeze
  // may come late.
  void ThawNow(steady_clock::time_point now) {
    if (now - last_thawed_ < kThawPause) return;
    static_cast<void>(domain_->Thaw());
    last_thawed_ = steady_clock::now();
  }

  // True once nothing of ours is left on the VM. Looks twice at least: between a look and the end
  // of the job the VM may have been paused.
  bool Undo() {
    EndReaders();
    const auto start = steady_clock::now();
    const steady_clock::duration limit = is_remote_ ? kRemoteUndoLimit : kUndoLimit;
    for (int looks = 1; steady_clock::now() - start < limit; ++looks) {
      const Status done = UndoOnce();
      if (!done && done.error().kind == ErrorKind::kNotFound) return true;
      const bool may_come_late = frozen_since_.has_value() || (is_begun_ && !has_ended_);
      const bool is_over = !may_come_late || steady_clock::now() - start >= kLateCall;
      if (done && is_over && looks > 1) return true;
      std::this_thread::sleep_for(
          std::min<steady_clock::duration>(kRetryPause * looks, kLongestRetryPause));
      // The connection ends with libvirtd, and the VM's handle with it.
      if (!done) static_cast<void>(Connect());
    }
    return false;
  }

  // Thaw first: that is what hurts the guest.
  Status UndoOnce() {
    ASR_TRY(const VmPowerState state, domain_->State());
    if (state == VmPowerState::kOff) return {};
    Status thawed;
    if (frozen_since_) {
      const auto count = domain_->Thaw();
      if (!count) thawed = Fail(count.error());
    }
    if (is_begun_) ASR_CHECK(EndJob());
    return thawed;
  }

  Status EndJob() {
    ASR_TRY(const auto job, domain_->BackupXml());
    const bool is_ours = job && SocketOfBackup(*job) == orders_.socket_path;
    has_ended_ = has_ended_ || (was_asked_to_end_ && !job);
    if (is_ours) {
      was_asked_to_end_ = true;
      ASR_TRY(has_ended_, EndBackupOfSocket(*domain_, orders_.socket_path, kEndLook));
    }
    Status lost_ended = job || has_ended_ ? Status() : EndLostJob();
    ASR_TRY(const bool is_paused, domain_->IsPausedByIoError());
    if (is_paused && !was_paused_before_) ASR_CHECK(domain_->Resume());
    // QEMU has ended it; libvirt may know that later. A guest that is frozen late is looked at
    // meanwhile.
    if (is_ours && !has_ended_) {
      return Fail(ErrorKind::kBusy, ErrorCode::kVmBusy, "the job is not seen to end yet");
    }
    return lost_ended;
  }

  Status EndLostJob() {
    ASR_TRY(const bool is_copied, HasBackupCopies(*domain_));
    if (!is_copied) return {};
    ASR_TRY(has_ended_, EndLostBackup(*domain_));
    return {};
  }

  GuardOrders orders_;
  bool is_remote_;
  SpaceWatch space_;
  std::optional<DeadManSwitch> switch_;  // of a VM on another machine
  std::optional<LibvirtDomain> domain_;
  std::vector<FileDescriptor> readers_;
  steady_clock::time_point last_moved_;
  std::optional<steady_clock::time_point> frozen_since_;
  bool is_begun_ = false;
  bool was_asked_to_end_ = false;
  bool has_ended_ = false;
  bool was_paused_before_ = false;
  steady_clock::time_point last_connected_;
  steady_clock::time_point last_looked_;
  steady_clock::time_point last_thawed_;
};

std::string ReadLine() {
  std::string line;
  char letter = 0;
  while (::read(STDIN_FILENO, &letter, 1) == 1 && letter != '\n') line.push_back(letter);
  return line;
}

}  // namespace

int RunBackupGuard() {
  // Its owner's terminal, group and pipes may all end before its work does.
  for (const int number : {SIGINT, SIGHUP, SIGTERM, SIGPIPE}) ::signal(number, SIG_IGN);
  auto orders = DecodeOrders(ReadLine());
  if (!orders) return kCouldNot;
  auto place = ParseLibvirtUri(orders->uri);
  if (!place) return kCouldNot;
  return Guard(*std::move(orders), std::move(place->ssh)).Run();
}

}  // namespace asr
