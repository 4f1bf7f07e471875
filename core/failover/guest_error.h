// What a guest and QEMU said last, for errors about them.
#pragma once

#include "core/failover/qemu_machine.h"
#include "storage/base/error.h"

namespace asr {

// Adds the last lines of QEMU's log and of the serial log to the causes, and an action if there is
// none.
[[nodiscard]] Error WithLastWords(FileSystem& fs, const RunningMachine& machine, Error error);

}  // namespace asr
