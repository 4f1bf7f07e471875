// Waiting that ends when somebody asks to stop.
#pragma once

#include <stop_token>

#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// Returns after `seconds` of the clock, or with kCancelled within a tenth of a second of the stop.
[[nodiscard]] Status WaitSeconds(Clock& clock, double seconds, const std::stop_token& stop);

}  // namespace asr
