// The other end of the socket: see backup_guard.h.
#include <poll.h>
#include <signal.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>
#include <thread>

#include "core/source/domain_xml.h"
#include "core/source/guard_words.h"
#include "core/source/libvirt_host.h"

namespace asr {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookInterval{100};
// For a begin that our owner called for just before it died, and that libvirt has not done yet.
constexpr std::chrono::seconds kLateBegin{10};
// libvirtd may be down meanwhile.
constexpr std::chrono::minutes kUndoLimit{30};
constexpr std::chrono::milliseconds kRetryPause{500};

constexpr int kDismissed = 0;
constexpr int kUndone = 1;
constexpr int kCouldNot = 2;

class Guard {
 public:
  explicit Guard(GuardOrders orders) : orders_(std::move(orders)) {}

  int Run() {
    if (!Connect()) return kCouldNot;
    const char ready = guard_words::kReady;
    if (::write(STDOUT_FILENO, &ready, 1) != 1) return kCouldNot;
    last_moved_ = steady_clock::now();
    while (true) {
      const std::optional<char> word = NextWord();
      if (word == guard_words::kDismissed) return kDismissed;
      if (word == kOwnerIsGone || MustAct()) return Undo() ? kUndone : kCouldNot;
    }
  }

 private:
  static constexpr char kOwnerIsGone = '\0';

  Status Connect() {
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
    const ssize_t count = ::read(STDIN_FILENO, &word, 1);
    if (count < 0 && errno == EINTR) return std::nullopt;
    if (count != 1) return kOwnerIsGone;
    last_moved_ = steady_clock::now();
    if (word == guard_words::kFreezing) frozen_since_ = last_moved_;
    if (word == guard_words::kThawed) frozen_since_.reset();
    if (word == guard_words::kBeginning) is_begun_ = true;
    return word;
  }

  // Once the job may be open.
  bool MustAct() const {
    const auto now = steady_clock::now();
    if (frozen_since_ && now - *frozen_since_ > orders_.freeze_limit) return true;
    if (!is_begun_) return false;
    if (now - last_moved_ > orders_.stall_limit) return true;
    for (const std::string& directory : orders_.directories) {
      if (IsShortOfSpace(directory)) return true;
    }
    const auto is_paused = domain_->IsPausedByIoError();
    return is_paused && *is_paused;
  }

  bool IsShortOfSpace(const std::string& directory) const {
    struct statvfs space {};
    if (::statvfs(directory.c_str(), &space) != 0) return false;
    const std::uint64_t total = std::uint64_t{space.f_frsize} * space.f_blocks;
    const std::uint64_t free = std::uint64_t{space.f_frsize} * space.f_bavail;
    return free < (orders_.reserve_bytes != 0 ? orders_.reserve_bytes : ReserveBytes(total));
  }

  // Thaw first: that is what hurts the guest. True once nothing of ours is left on the VM.
  bool Undo() {
    const auto start = steady_clock::now();
    while (steady_clock::now() - start < kUndoLimit) {
      const bool is_late_begin =
          is_begun_ && !has_ended_ && steady_clock::now() - start < kLateBegin;
      const Status done = UndoOnce();
      if (done && !is_late_begin) return true;
      if (!done && done.error().kind == ErrorKind::kNotFound) return true;
      std::this_thread::sleep_for(kRetryPause);
      // The connection ends with libvirtd, and the VM's handle with it.
      if (!done && !Connect()) continue;
    }
    return false;
  }

  Status UndoOnce() {
    ASR_TRY(const VmPowerState state, domain_->State());
    if (state == VmPowerState::kOff) return {};
    Status thawed;
    if (frozen_since_) thawed = domain_->Thaw();
    if (thawed) frozen_since_.reset();
    if (is_begun_) ASR_CHECK(EndJob());
    return thawed;
  }

  Status EndJob() {
    ASR_TRY(const bool was_paused, domain_->IsPausedByIoError());
    ASR_TRY(const auto job, domain_->BackupXml());
    if (job && SocketOfBackup(*job) == orders_.socket_path) {
      ASR_CHECK(domain_->EndBackup());
      has_ended_ = true;
    }
    if (was_paused) ASR_CHECK(domain_->Resume());
    return {};
  }

  GuardOrders orders_;
  std::optional<LibvirtDomain> domain_;
  steady_clock::time_point last_moved_;
  std::optional<steady_clock::time_point> frozen_since_;
  bool is_begun_ = false;
  bool has_ended_ = false;
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
  return Guard(*std::move(orders)).Run();
}

}  // namespace asr
