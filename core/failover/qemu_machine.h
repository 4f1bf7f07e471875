// A restored VM that runs in QEMU for a test: start it, stop it. The guest is detached on purpose:
// it goes on when our process ends, and any later process finds it again.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/failover/qemu_command.h"
#include "storage/base/clock.h"
#include "storage/base/process.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

// A plain value; may be kept as JSON and used by another process of the same machine and user.
struct RunningMachine {
  ProcessIdentity process;
  std::string directory;
  bool operator==(const RunningMachine&) const = default;

  // What the guest wrote to its first serial port.
  [[nodiscard]] std::string SerialLog() const;
  // What QEMU wrote to stderr.
  [[nodiscard]] std::string QemuLog() const;
};

// {"pid","startTicks","bootId","directory","serialLog"}
[[nodiscard]] nlohmann::json MachineToJson(const RunningMachine& machine);
// kCorrupt if something is missing or of the wrong type.
[[nodiscard]] Result<RunningMachine> MachineFromJson(const nlohmann::json& json);

// Starts the guest; returns once QEMU answers. kIo (kHypervisorMissing, with the package's name)
// without QEMU or firmware, kIo (kGuestDidNotStart, with what QEMU said) if it ends at once, kState
// if a guest runs in this directory already. After an error nothing runs and no file is left.
[[nodiscard]] Result<RunningMachine> StartMachine(FileSystem& fs, Clock& clock,
                                                  const MachineSpec& spec);

// The guest that StartMachine started in `directory`, if it runs. For one whose starter died before
// it could note the value above.
[[nodiscard]] std::optional<RunningMachine> FindMachine(FileSystem& fs,
                                                        const std::string& directory);

[[nodiscard]] bool IsRunning(const RunningMachine& machine);

// Ends the guest as if its power were cut: asks QEMU, then SIGTERM, then SIGKILL to that very
// process. Returns when it is gone; fine if it is gone already.
[[nodiscard]] Status StopMachine(Clock& clock, const RunningMachine& machine);
// The same without a word to QEMU, for a guest whose directory is gone: another guest's may be in
// its place by now.
[[nodiscard]] Status KillMachine(Clock& clock, const RunningMachine& machine);

}  // namespace asr
