// Which process did something, and whether it still runs.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace asr {

// A process id is used again sooner or later; together with its start and the boot it is unique.
struct ProcessIdentity {
  int pid = 0;
  std::uint64_t start_ticks = 0;  // since boot; field 22 of /proc/PID/stat, proc(5)
  std::string boot_id;            // /proc/sys/kernel/random/boot_id, random(4)
  bool operator==(const ProcessIdentity&) const = default;
};

[[nodiscard]] ProcessIdentity CurrentProcess();

// The process that has this pid now; nullopt if there is none, or if it has ended already.
[[nodiscard]] std::optional<ProcessIdentity> ProcessWithId(int pid);

// The boot that runs now; empty if it cannot be told.
[[nodiscard]] std::string CurrentBootId();

// False once the process has ended, also if its parent has not collected it yet. Both processes
// must share one process namespace. Where /proc hides other users' processes, an existing process
// of the same pid passes for the one asked for.
[[nodiscard]] bool IsAlive(const ProcessIdentity& process);

}  // namespace asr
