// Whether a guest that was started for a test lives.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "core/failover/qemu_machine.h"
#include "core/model/virtual_machine.h"
#include "storage/base/bytes.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"
#include "storage/fs/file_system.h"

namespace asr {

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

}  // namespace asr
