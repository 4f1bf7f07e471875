// Ends what a guest is given only while its sign of life is awaited: a way in, and a log that
// grows.
#pragma once

#include "core/failover/qemu_machine.h"
#include "core/failover/qmp_client.h"
#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// What the guest writes to its first serial port from now on is thrown away; its log stays as it
// is. Again: fine. kIo if QEMU refuses or does not answer.
[[nodiscard]] Status EndSerialLog(QmpClient& client);

// The same, and no new connection reaches the guest: the port of this machine that led to it is
// closed. A connection that is open stays so. After an error as much is done as could be.
[[nodiscard]] Status SealGuest(Clock& clock, const RunningMachine& machine);

}  // namespace asr
