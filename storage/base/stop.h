// Work that was asked to stop ends with one and the same error everywhere.
#pragma once

#include <stop_token>

#include "storage/base/result.h"

namespace asr {

// kCancelled (code kCancelled, retryable).
[[nodiscard]] Error Stopped();

// Stopped() once a stop was asked for.
[[nodiscard]] Status CheckStop(const std::stop_token& stop);

}  // namespace asr
