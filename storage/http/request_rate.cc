#include "storage/http/request_rate.h"

#include <algorithm>

#include "storage/http/wait.h"

namespace asr {

RequestRate::RequestRate(Clock& clock, double per_second, int burst)
    : clock_(clock),
      interval_seconds_(1 / per_second),
      burst_seconds_(interval_seconds_ * std::max(burst - 1, 0)) {}

Status RequestRate::Take(const std::stop_token& stop) {
  double wait_seconds = 0;
  {
    const std::lock_guard lock(mutex_);
    const double now = clock_.MonotonicSeconds();
    next_seconds_ = std::max(next_seconds_, now - burst_seconds_);
    wait_seconds = next_seconds_ - now;
    next_seconds_ += interval_seconds_;
  }
  return WaitSeconds(clock_, wait_seconds, stop);
}

}  // namespace asr
