// A clock that stands still until a test moves it.
#pragma once

#include <chrono>
#include <mutex>

#include "storage/base/clock.h"

namespace asr::testing {

// When fake clocks begin: 2026-11-23T06:30:00Z.
inline constexpr Timestamp kNow{std::chrono::milliseconds{1'795'415'400'000}};

// Thread-safe.
class FakeClock : public Clock {
 public:
  explicit FakeClock(Timestamp now = kNow) : now_(now) {}

  Timestamp Now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  double MonotonicSeconds() const override {
    const std::lock_guard lock(mutex_);
    return monotonic_seconds_;
  }
  // Returns at once; both times have moved on.
  void SleepSeconds(double seconds) override { Advance(seconds); }

  void Advance(double seconds) {
    const std::lock_guard lock(mutex_);
    monotonic_seconds_ += seconds;
    now_ += std::chrono::milliseconds{static_cast<std::int64_t>(seconds * 1000)};
  }
  // The wall clock jumps; MonotonicSeconds does not.
  void Set(Timestamp now) {
    const std::lock_guard lock(mutex_);
    now_ = now;
  }

 private:
  mutable std::mutex mutex_;
  Timestamp now_;
  double monotonic_seconds_ = 1000;
};

}  // namespace asr::testing
