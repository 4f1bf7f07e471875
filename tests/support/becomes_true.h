// Waits for something that another process or thread does.
#pragma once

#include <functional>

#include "storage/base/clock.h"

namespace asr::testing {

// False if it does not become true in this time.
inline bool BecomesTrue(const std::function<bool()>& condition, int seconds = 30) {
  for (int i = 0; i < seconds * 20 && !condition(); ++i) SystemClock().SleepSeconds(0.05);
  return condition();
}

}  // namespace asr::testing
