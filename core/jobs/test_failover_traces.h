// What a test failover leaves on this machine: its row, its directory, its guest, its lock.
#pragma once

#include <memory>
#include <string>

#include "core/jobs/environment.h"
#include "core/jobs/test_failover.h"

namespace asr {

[[nodiscard]] std::string TestFailoverDirectory(const Environment& environment, const ItemId& item);

// Held while a test failover starts or is cleaned up, so that two commands do not meet. kState if
// another command has it.
[[nodiscard]] Result<std::unique_ptr<FileLock>> LockTestFailover(Environment& environment,
                                                                 const ItemId& item,
                                                                 const std::string& vm);

// By its directory, for the process that started the guest may have died before it could note it;
// and by what was noted of it, for its directory may be gone.
[[nodiscard]] Status StopGuest(Environment& environment, const TestFailover& test);

// Guest, directory, and the row last: whatever is left after a crash can be found again.
[[nodiscard]] Status RemoveTestFailover(Environment& environment, const TestFailover& test);

}  // namespace asr
