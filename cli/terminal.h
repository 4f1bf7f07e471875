// What the command line is connected to.
#pragma once

#include <cstddef>
#include <functional>
#include <stop_token>

#include "storage/auth/secret.h"
#include "storage/base/result.h"

namespace asr {

struct TerminalInfo {
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::size_t width = 80;  // columns; of COLUMNS, or 80, if there is no terminal
};

// Of this process's own standard streams.
[[nodiscard]] TerminalInfo InspectTerminal();

// kCancelled once `stop` is set.
using HiddenLineReader = std::function<Result<Secret>(const std::stop_token& stop)>;

// A line of this process's own stdin, which is a terminal: without its end, and without echo.
[[nodiscard]] Result<Secret> ReadHiddenLine(const std::stop_token& stop);

}  // namespace asr
