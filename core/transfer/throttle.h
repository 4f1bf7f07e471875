// A token bucket over the bytes that all jobs of this process send.
#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>

#include "storage/base/clock.h"
#include "storage/base/result.h"

namespace asr {

// Thread-safe.
class Throttle {
 public:
  // `limit` tells the bytes a second that may go now, nullopt for any number; it is asked once a
  // second at most, and may change at any time.
  using Limit = std::function<std::optional<double>()>;
  Throttle(Clock& clock, Limit limit) : clock_(clock), limit_(std::move(limit)) {}

  // Returns when these bytes may go. Over any while no more go than the limit, and half a second's
  // worth; one call may be of any size. kCancelled.
  [[nodiscard]] Status Admit(std::uint64_t bytes, const std::stop_token& stop);

 private:
  // How long to wait until the next look; 0: the bytes are taken.
  [[nodiscard]] double TryTake(std::uint64_t bytes);

  Clock& clock_;
  const Limit limit_;
  std::mutex mutex_;  // guards what follows
  std::optional<double> rate_;
  std::optional<double> asked_seconds_;
  double filled_seconds_ = 0;
  double tokens_ = 0;  // bytes; below zero after a call that took more than there were
};

}  // namespace asr
