// The command line as a function, so that tests run real commands in process.
#pragma once

#include <istream>
#include <ostream>
#include <stop_token>
#include <string>
#include <vector>

#include "cli/options.h"
#include "cli/terminal.h"
#include "storage/base/clock.h"
#include "storage/fs/file_system.h"

namespace asr {

struct CliContext {
  FileSystem& fs;
  Clock& clock;
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  TerminalInfo terminal;
  EnvironmentLookup environment;
  bool is_root = false;  // decides where the state is kept by default
  std::stop_token stop;  // set on Ctrl-C
  // The path of this program, for processes that go on with its work.
  std::string program{};
  // Reads a line of the terminal that is stdin, without showing it.
  HiddenLineReader read_hidden_line{};
};

// `arguments` are without the program's name. Returns the exit code (cli/exit_codes.h).
[[nodiscard]] int RunCommandLine(const std::vector<std::string>& arguments, CliContext& context);

}  // namespace asr
