// A picture of what a guest shows on its screen.
#pragma once

#include <string>

#include "core/failover/qemu_machine.h"

namespace asr {

// A PNG. kIo if QEMU does not answer, or cannot write one (before 7.1, or built without).
[[nodiscard]] Result<std::string> TakeScreenshot(FileSystem& fs, Clock& clock,
                                                 const RunningMachine& machine);

}  // namespace asr
