#include "cli/signals.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>

#include "cli/exit_codes.h"

namespace asr {
namespace {

// Requesting a stop runs code that a signal handler must not run; so the handler wakes a thread.
std::array<int, 2> wake_pipe = {-1, -1};
std::atomic<int> signals_seen = 0;
std::atomic<bool> hangup_seen = false;
static_assert(std::atomic<bool>::is_always_lock_free);

constexpr char kStop = 's';
constexpr char kQuit = 'q';

void Wake(char what) {
  const int saved = errno;
  [[maybe_unused]] const auto written = ::write(wake_pipe[1], &what, 1);
  errno = saved;
}

void OnSignal(int) {
  if (signals_seen.fetch_add(1) > 0) ::_exit(kExitInterrupted);
  Wake(kStop);
}

void OnHangup(int) { hangup_seen = true; }

void OnBrokenPipe(int) {
  const int saved = errno;
  struct pollfd output {
    .fd = STDOUT_FILENO, .events = 0, .revents = 0
  };
  if (::poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0) {
    // Ends us once this handler returns.
    ::signal(SIGPIPE, SIG_DFL);
    ::raise(SIGPIPE);
  }
  errno = saved;
}

void Watch(const std::stop_source& source) {
  char what = 0;
  while (true) {
    const auto count = ::read(wake_pipe[0], &what, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count != 1 || what == kQuit) return;
    source.request_stop();
  }
}

}  // namespace

StopOnSignals::StopOnSignals(std::stop_source source) {
  if (::pipe2(wake_pipe.data(), O_CLOEXEC) != 0) return;  // then signals just end the process
  watcher_ = std::thread(Watch, std::move(source));
  struct sigaction action {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

StopOnSignals::~StopOnSignals() {
  if (!watcher_.joinable()) return;
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  Wake(kQuit);
  watcher_.join();
  ::close(wake_pipe[0]);
  ::close(wake_pipe[1]);
}

void OutliveBrokenSockets() {
  struct sigaction action {};
  action.sa_handler = OnBrokenPipe;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGPIPE, &action, nullptr);
}

void ListenForHangup() {
  struct sigaction action {};
  action.sa_handler = OnHangup;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGHUP, &action, nullptr);
}

bool TakeHangup() { return hangup_seen.exchange(false); }

}  // namespace asr
