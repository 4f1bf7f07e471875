// A shell's command line, its output and exit code together.
#pragma once

#include <sys/wait.h>

#include <cstddef>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace asr::testing {

struct CommandOutput {
  int exit_code = 0;  // or 128 and the signal that ended it
  std::string text;   // stdout and stderr
};

[[nodiscard]] inline CommandOutput RunShell(const std::string& command) {
  CommandOutput output;
  std::FILE* const pipe = ::popen(("{ " + command + "\n} 2>&1 </dev/null").c_str(), "re");
  if (pipe == nullptr) throw std::runtime_error("popen " + command);
  char piece[4096];
  while (const std::size_t got = std::fread(piece, 1, sizeof(piece), pipe)) {
    output.text.append(piece, got);
  }
  const int status = ::pclose(pipe);
  output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return output;
}

// As RunShell; throws with all that was said unless the exit code is 0.
inline std::string MustRunShell(const std::string& command) {
  const CommandOutput output = RunShell(command);
  if (output.exit_code != 0) {
    throw std::runtime_error(command + " ended with " + std::to_string(output.exit_code) + ": " +
                             output.text);
  }
  return output.text;
}

}  // namespace asr::testing
