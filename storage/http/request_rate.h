// At most so many requests a second: one page blob takes 500, and answers ServerBusy to more.
#pragma once

#include <cstddef>
#include <mutex>
#include <stop_token>
#include <vector>

#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// Thread-safe; first come first served.
class RequestRate {
 public:
  // At most `most` requests, one at least, begin in any `window_seconds`. They are not spread over
  // it: whoever had to wait for something else catches up.
  RequestRate(Clock& clock, std::size_t most, double window_seconds);
  // Returns when the next request may go out. kCancelled.
  [[nodiscard]] Status Take(const std::stop_token& stop);

 private:
  Clock& clock_;
  const double window_seconds_;
  std::mutex mutex_;                 // guards what follows
  std::vector<double> due_seconds_;  // a ring: when each of the last requests might go out again
  std::size_t oldest_ = 0;
};

}  // namespace asr
