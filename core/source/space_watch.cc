#include "core/source/space_watch.h"

#include <sys/statvfs.h>

#include <sstream>
#include <utility>

#include "core/source/backup_guard.h"
#include "storage/base/text.h"

namespace asr {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kPatience{30};
constexpr std::chrono::seconds kSpaceReconnectPause{3};

}  // namespace

SpaceWatch::SpaceWatch(std::vector<std::string> directories,
                       std::vector<std::string> own_directories, std::uint64_t reserve_bytes,
                       std::optional<SshTarget> ssh)
    : directories_(std::move(directories)),
      own_directories_(std::move(own_directories)),
      reserve_bytes_(reserve_bytes),
      ssh_(std::move(ssh)) {}

bool SpaceWatch::IsShort(std::uint64_t total_bytes, std::uint64_t free_bytes) const {
  return free_bytes < (reserve_bytes_ != 0 ? reserve_bytes_ : ReserveBytes(total_bytes));
}

SpaceWatch::State SpaceWatch::Look() {
  if (LookHere(own_directories_) == State::kShort) return State::kShort;
  if (!ssh_) return LookHere(directories_);
  const auto now = steady_clock::now();
  const bool may_try = line_ != nullptr || now - last_tried_ > kSpaceReconnectPause;
  if (const auto told = may_try ? LookThere() : std::nullopt) {
    last_told_ = steady_clock::now();
    return *told;
  }
  return last_told_ && now - *last_told_ < kPatience ? State::kEnough : State::kUnknown;
}

SpaceWatch::State SpaceWatch::LookHere(const std::vector<std::string>& directories) const {
  for (const std::string& directory : directories) {
    struct statvfs space {};
    if (::statvfs(directory.c_str(), &space) != 0) continue;
    const std::uint64_t unit = space.f_frsize;
    if (IsShort(unit * space.f_blocks, unit * space.f_bavail)) return State::kShort;
  }
  return State::kEnough;
}

std::optional<SpaceWatch::State> SpaceWatch::LookThere() {
  if (line_ == nullptr) {
    last_tried_ = steady_clock::now();
    auto line = SshLine::Start(*ssh_, "");
    if (!line || !(*line)->WaitUntilReady()) return std::nullopt;
    line_ = *std::move(line);
  }
  std::string command = "stat -f -c '%a %b %S' --";
  for (const std::string& directory : directories_) command += " " + ShellQuote(directory);
  const auto answer = line_->Run(command + " 2>/dev/null");
  if (!answer) line_.reset();
  // 127: that shell has no such program.
  if (!answer || answer->exit_code > 1) return std::nullopt;
  std::istringstream lines(answer->output);
  std::uint64_t free = 0;
  std::uint64_t total = 0;
  std::uint64_t unit = 0;
  while (lines >> free >> total >> unit) {
    if (IsShort(total * unit, free * unit)) return State::kShort;
  }
  return State::kEnough;
}

}  // namespace asr
