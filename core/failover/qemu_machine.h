// A restored VM that runs in QEMU for a test: start it, see that it lives, stop it. The guest is
// detached on purpose: it goes on when our process ends, and any later process finds it again.
#pragma once

#include <optional>
#include <stop_token>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/failover/qemu_command.h"
#include "core/model/virtual_machine.h"
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

struct LifeSign {
  std::string sign;    // the line of the serial log, or what else was seen; printable
  double seconds = 0;  // since the wait began
};

// By its disk a guest must have read this much of its disks: more than firmware and a
// boot loader that finds nothing to start, less than any operating system.
inline constexpr std::uint64_t kLeastBytesReadByAGuest = 4 * kMiB;
// A guest that restarts more often while we wait for it is in a loop.
inline constexpr int kMostRestarts = 5;
// A guest that writes more to its serial port while we wait for it is not listened to any more: a
// file system of this machine is not its to fill.
inline constexpr std::uint64_t kMostSerialLogBytes = 64 * kMiB;

// Waits at most `sign.wait`: until the guest has written the text, has answered on the port
// (tcp_watch.h), or its agent has answered (the machine was started for that); or else the whole
// time, after which the guest must run and have read its disks. kIo: kGuestDidNotStart if the guest
// powered off, panicked, restarts over and over, or was stopped by QEMU (I/O error of this host),
// or QEMU ended; kGuestNoSignOfLife if the time is over. Both tell the last lines of the serial
// log and of QEMU. kCancelled on `stop`. The guest is left as it is, but that what it writes beyond
// kMostSerialLogBytes is thrown away.
[[nodiscard]] Result<LifeSign> WaitForLife(FileSystem& fs, Clock& clock,
                                           const RunningMachine& machine, const SignOfLife& sign,
                                           const std::stop_token& stop);

// Ends the guest as if its power were cut: asks QEMU, then SIGTERM, then SIGKILL to that very
// process. Returns when it is gone; fine if it is gone already.
[[nodiscard]] Status StopMachine(Clock& clock, const RunningMachine& machine);
// The same without a word to QEMU, for a guest whose directory is gone: another guest's may be in
// its place by now.
[[nodiscard]] Status KillMachine(Clock& clock, const RunningMachine& machine);

}  // namespace asr
