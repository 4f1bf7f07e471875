#include "storage/http/request_rate.h"

#include <algorithm>
#include <limits>

#include "storage/http/wait.h"

namespace asr {

RequestRate::RequestRate(Clock& clock, std::size_t most, double window_seconds)
    : clock_(clock),
      window_seconds_(window_seconds),
      due_seconds_(std::max<std::size_t>(most, 1), std::numeric_limits<double>::lowest()) {}

Status RequestRate::Take(const std::stop_token& stop) {
  double wait_seconds = 0;
  {
    const std::lock_guard lock(mutex_);
    const double now = clock_.MonotonicSeconds();
    const double begin = std::max(now, due_seconds_[oldest_]);
    due_seconds_[oldest_] = begin + window_seconds_;
    oldest_ = (oldest_ + 1) % due_seconds_.size();
    wait_seconds = begin - now;
  }
  return WaitSeconds(clock_, wait_seconds, stop);
}

}  // namespace asr
