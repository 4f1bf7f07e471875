#include "storage/http/wait.h"

#include <algorithm>

#include "storage/base/stop.h"

namespace asr {

Status WaitSeconds(Clock& clock, double seconds, const std::stop_token& stop) {
  constexpr double kSliceSeconds = 0.1;
  const double end = clock.MonotonicSeconds() + seconds;
  while (true) {
    ASR_CHECK(CheckStop(stop));
    const double left = end - clock.MonotonicSeconds();
    if (left <= 0) return {};
    clock.SleepSeconds(std::min(left, kSliceSeconds));
  }
}

}  // namespace asr
