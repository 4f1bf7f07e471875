#include "storage/http/wait.h"

#include <algorithm>

namespace asr {

Error CancelledError() {
  return MakeError(ErrorKind::kCancelled, ErrorCode::kCancelled, "stopped before it was done")
      .WithCause("somebody asked for it (Ctrl-C, or the end of the service)")
      .WithAction("run the same command again; it goes on where it was")
      .Retryable();
}

Status WaitSeconds(Clock& clock, double seconds, const std::stop_token& stop) {
  constexpr double kSliceSeconds = 0.1;
  const double end = clock.MonotonicSeconds() + seconds;
  while (true) {
    if (stop.stop_requested()) return Fail(CancelledError());
    const double left = end - clock.MonotonicSeconds();
    if (left <= 0) return {};
    clock.SleepSeconds(std::min(left, kSliceSeconds));
  }
}

}  // namespace asr
