// What the command line is connected to.
#pragma once

#include <cstddef>

namespace asr {

struct TerminalInfo {
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::size_t width = 80;  // columns; of COLUMNS, or 80, if there is no terminal
};

// Of this process's own standard streams.
[[nodiscard]] TerminalInfo InspectTerminal();

}  // namespace asr
