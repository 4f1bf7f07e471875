// Programs that outlive us, and signals that reach exactly the process they are meant for.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "storage/base/process.h"
#include "storage/base/result.h"

namespace asr {

// The program's path, by $PATH; empty if it is not installed. A name with a slash stands for
// itself.
[[nodiscard]] std::string FindProgram(std::string_view name);

struct SpawnOptions {
  std::string directory;    // where it runs
  std::string stderr_path;  // what it says goes there; made anew. Relative to `directory`
  int input = -1;           // of ours, its stdin; negative: /dev/null
  int output = -1;          // its stdout, the same
};

// Starts `arguments` (the first is the program's path) detached: in a session of its own, no child
// of ours, without any other descriptor or signal mask of ours; files that it creates are for its
// user alone (umask 077). Returns once the program has been executed,
// or the error why it could not be.
[[nodiscard]] Result<ProcessIdentity> SpawnDetached(const std::vector<std::string>& arguments,
                                                    const SpawnOptions& options);

// Sends `signal_number` to this very process, never to a later one that got its pid (where the
// kernel has no handles for processes: unless it got it in this very moment). Fine if the process
// has ended. kPermission if it is another user's.
[[nodiscard]] Status SignalProcess(const ProcessIdentity& process, int signal_number);

}  // namespace asr
