#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>

namespace asr {

TerminalInfo InspectTerminal() {
  TerminalInfo info;
  info.in_is_terminal = ::isatty(STDIN_FILENO) == 1;
  info.out_is_terminal = ::isatty(STDOUT_FILENO) == 1;
  info.err_is_terminal = ::isatty(STDERR_FILENO) == 1;
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
