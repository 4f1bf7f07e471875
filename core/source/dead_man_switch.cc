#include "core/source/dead_man_switch.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "storage/base/text.h"
#include "storage/fs/file_system.h"

namespace asr {
namespace {

constexpr std::chrono::seconds kBeatInterval{2};

// The words of the file `alive`: a number that changes, whether the guest is frozen, whether QEMU
// had paused the VM before.
//
// Before it acts it takes the directory away, so that no sign of life finds it any more: nothing is
// begun that it would not hear of. Then it acts for a minute: a freeze or a begin that was called
// for last may come late. A job has its socket's name in quotes; without these it could be part of
// a checkpoint's.
constexpr std::string_view kScript = R"sh(
place=$1 vm={0} socket={1} libvirt={2}
LC_ALL=C
export LC_ALL
ask() {{ timeout 20 virsh -q -c "$libvirt" "$@"; }}
act() {{
  [ "$frozen" != frozen ] || ask domfsthaw "$vm"
  case $(ask backup-dumpxml "$vm") in
    *"/$socket'"* | *"/$socket\""*)
      is_ours=1
      ask domjobabort "$vm" ;;
  esac
  state=$(ask domstate --reason "$vm") || return 1
  case $is_ours,$paused,$state in
    1,no,*"(I/O error)"*) ask resume "$vm" ;;
  esac
  return 0
}}
trap '' HUP
last= frozen= paused= silent_s=0 acts=0 failures=0 is_ours=0
listen() {{
  read -r beat frozen paused <"$place/alive"
  if [ "$beat" = "$last" ]; then silent_s=$((silent_s + 1)); else silent_s=0; fi
  last=$beat
}}
while [ $silent_s -lt 15 ]; do
  sleep 1
  [ -d "$place" ] || exit 0
  listen
  [ $silent_s -lt 15 ] && continue
  mv "$place" "$place.acts" || exit 0
  place=$place.acts
  listen
  [ $silent_s -ge 15 ] && break
  mv "$place" "$1" && place=$1
done
while [ -d "$place" ] && [ $acts -lt 20 ] && [ $failures -lt 360 ]; do
  if act; then acts=$((acts + 1)); else failures=$((failures + 1)); fi
  sleep 3
done
rm -rf "$place"
)sh";

// The name of the directory that it has made, for the shell that waits.
constexpr std::string_view kArm =
    "(command -v virsh && timeout 20 virsh -q -c {2} domstate {3}) >/dev/null 2>&1 && "
    "directory=/run && {{ [ -w $directory ] || directory=/tmp; }} && "
    "(umask 077 && mkdir $directory/{0} && echo '0 no no' >$directory/{0}/alive) && "
    "{{ sh -c {1} asr-guard $directory/{0} </dev/null >/dev/null 2>&1 & }} && "
    "printf %s $directory/{0}";

Error NotTold() {
  return MakeError(ErrorKind::kBusy, ErrorCode::kHostUnreachable,
                   "what would thaw the VM and end its backup job if the network were cut does "
                   "not run on its host any more")
      .WithCause("the network was cut for more than 15 s")
      .WithAction("nothing was done to the VM; run the same command again")
      .Retryable();
}

}  // namespace

DeadManSwitch::DeadManSwitch(SshTarget target, std::string uuid, std::string socket_path)
    : target_(std::move(target)),
      uuid_(std::move(uuid)),
      socket_path_(std::move(socket_path)),
      place_name_(RandomPlace("asr-guard-")) {
  // It is not waited for before Arm.
  auto line = SshLine::Start(target_, "");
  if (line) line_ = *std::move(line);
}

// Before the thread ends, and with it the line that it may have begun.
DeadManSwitch::~DeadManSwitch() {
  {
    const std::lock_guard lock(mutex_);
    if (!place_.empty() && line_ != nullptr) {
      static_cast<void>(line_->Run(fmt::format("rm -rf -- {0} {0}.acts", ShellQuote(place_))));
    }
    place_.clear();
  }
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

Status DeadManSwitch::Connect() {
  if (line_ == nullptr) {
    ASR_TRY(line_, SshLine::Start(target_, ""));
  }
  Status ready = line_->WaitUntilReady();
  if (!ready) line_.reset();
  return ready;
}

Status DeadManSwitch::Arm() {
  const std::lock_guard lock(mutex_);
  ASR_CHECK(Connect());
  const std::string libvirt = ShellQuote(target_.LibvirtThere());
  const std::string script =
      fmt::format(kScript, ShellQuote(uuid_), ShellQuote(BaseName(socket_path_)), libvirt);
  ASR_TRY(const SshLine::Answer armed, line_->Run(fmt::format(kArm, place_name_, ShellQuote(script),
                                                              libvirt, ShellQuote(uuid_))));
  if (armed.exit_code != 0) return {};
  place_ = armed.output;
  thread_ = std::jthread([this](const std::stop_token& stop) { KeepBeating(stop); });
  return {};
}

Status DeadManSwitch::Tell(bool is_frozen, bool was_paused) {
  is_frozen_ = is_frozen;
  was_paused_ = was_paused;
  const std::lock_guard lock(mutex_);
  if (place_.empty()) return {};
  return Beat();
}

Status DeadManSwitch::Beat() {
  ASR_CHECK(Connect());
  auto beaten = line_->Run(fmt::format("echo {1} {2} {3} >{0}/next && mv {0}/next {0}/alive",
                                       place_, ++beats_, is_frozen_ ? "frozen" : "no",
                                       was_paused_ ? "paused" : "no"));
  if (!beaten) line_.reset();
  ASR_CHECK(beaten);
  return beaten->exit_code == 0 ? Status() : Status(Fail(NotTold()));
}

void DeadManSwitch::KeepBeating(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested() && !place_.empty()) {
    static_cast<void>(Beat());
    stopped_.wait_for(lock, stop, kBeatInterval, [] { return false; });
  }
}

}  // namespace asr
