// At most so many requests a second: one page blob takes 500, and answers ServerBusy to more.
#pragma once

#include <mutex>
#include <stop_token>

#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// Thread-safe; first come first served.
class RequestRate {
 public:
  // After a pause up to `burst` requests pass at once.
  RequestRate(Clock& clock, double per_second, int burst = 16);
  // Returns when the next request may go out. kCancelled.
  [[nodiscard]] Status Take(const std::stop_token& stop);

 private:
  Clock& clock_;
  const double interval_seconds_;
  const double burst_seconds_;
  std::mutex mutex_;         // guards what follows
  double next_seconds_ = 0;  // when the next one would be due without any burst
};

}  // namespace asr
