#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
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

}  // namespace asr
