// Waits for something that another process or thread does.
#pragma once

#include <functional>

#include "storage/base/clock.h"

namespace asr::testing {

// False if it does not become true in this time, of which asking takes none.
inline bool BecomesTrue(const std::function<bool()>& condition, double seconds = 30,
                        double pause_seconds = 0.05) {
  for (double waited = 0; waited < seconds && !condition(); waited += pause_seconds) {
    SystemClock().SleepSeconds(pause_seconds);
  }
  return condition();
}

}  // namespace asr::testing
