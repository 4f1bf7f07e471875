// Which failures of a replication are worth another try, and when.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

#include "storage/base/clock.h"
#include "storage/base/error.h"

namespace asr {

enum class RetryClass : std::uint8_t {
  kNextCycle,      // no failure: it was stopped, or it is somebody else's turn
  kRecoverable,    // may mend itself: tried again after a while
  kUnrecoverable,  // until a person mends it another try can only fail: `asr resume`
};
[[nodiscard]] std::string_view RetryClassName(RetryClass retry_class);  // "Recoverable"

// The table: the class of a code, wherever it comes from. nullopt for codes that say too little
// (kIo, kDatabase: then the kind decides) and for numbers that are none.
[[nodiscard]] std::optional<RetryClass> ClassOfCode(ErrorCode code);
[[nodiscard]] RetryClass ClassOfKind(ErrorKind kind);
// True for the codes of this version.
[[nodiscard]] bool IsKnownCode(ErrorCode code);

[[nodiscard]] RetryClass ClassifyError(const Error& error);

// How long after the failure of this attempt (1: the first in a row) the next one begins. `delays`:
// a policy's, never empty.
[[nodiscard]] std::chrono::seconds RetryDelay(int attempt,
                                              const std::vector<std::chrono::seconds>& delays);

}  // namespace asr
