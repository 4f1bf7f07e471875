#include "cli/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace asr {

namespace {

// What COLUMNS says, for output that goes through a pipe.
std::optional<std::size_t> WidthOfVariable() {
  const char* variable = std::getenv("COLUMNS");
  const std::string_view text = variable == nullptr ? "" : variable;
  std::size_t width = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), width);
  constexpr std::size_t kMost = 10'000;
  const bool fits = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  if (!fits || width == 0 || width > kMost) return std::nullopt;
  return width;
}

// Shows nothing of what is typed, but the end of the line.
class WithoutEcho {
 public:
  WithoutEcho() {
    if (::tcgetattr(STDIN_FILENO, &before_) != 0) return;
    termios silent = before_;
    silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    silent.c_lflag |= ECHONL | ICANON;
    is_silent_ = ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
  }
  ~WithoutEcho() {
    if (is_silent_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  WithoutEcho(const WithoutEcho&) = delete;
  WithoutEcho& operator=(const WithoutEcho&) = delete;
  [[nodiscard]] bool is_silent() const { return is_silent_; }

 private:
  termios before_{};
  bool is_silent_ = false;
};

Error Interrupted() {
  return MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled,
                   "interrupted; nothing was changed");
}

}  // namespace

TerminalInfo InspectTerminal() {
  TerminalInfo info;
  info.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
  info.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  info.err_is_terminal = ::isatty(STDERR_FILENO) == 1;
  info.width = WidthOfVariable().value_or(info.width);
  winsize size{};
  for (const int stream : std::array{STDOUT_FILENO, STDERR_FILENO}) {
    if (::ioctl(stream, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
      info.width = size.ws_col;
      break;
    }
  }
  return info;
}

// A signal must not end the process while there is no echo, and does not end a read; so this waits
// in short turns and looks.
Result<Secret> ReadHiddenLine(const std::stop_token& stop) {
  constexpr int kTurnMs = 50;
  const WithoutEcho quiet;
  if (!quiet.is_silent()) {
    return Fail(MakeError(ErrorKind::kIo, ErrorCode::kIo, "cannot switch off the terminal's echo")
                    .WithAction("give the secret in a file of mode 0600"));
  }
  // The terminal hands out whole lines, of 4095 bytes at most.
  std::array<char, 4096> line{};
  while (!stop.stop_requested()) {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    if (::poll(&input, 1, kTurnMs) <= 0) continue;
    const ssize_t count = ::read(STDIN_FILENO, line.data(), line.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Fail(ErrnoError(errno, "cannot read from the terminal"));
    const std::string_view typed(line.data(), static_cast<std::size_t>(count));
    Secret secret(std::string(typed.substr(0, typed.find('\n'))));
    OPENSSL_cleanse(line.data(), line.size());
    return secret;
  }
  return Fail(Interrupted());
}

}  // namespace asr
