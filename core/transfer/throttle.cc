#include "core/transfer/throttle.h"

#include <algorithm>

#include "storage/base/stop.h"

namespace asr {
namespace {

constexpr double kSecondsBetweenQuestions = 1;
constexpr double kBurstSeconds = 0.5;
constexpr double kLongestSleepSeconds = 0.25;  // a stop and another limit are noticed that soon

}  // namespace

double Throttle::TryTake(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const double now = clock_.MonotonicSeconds();
  if (!asked_seconds_ || now - *asked_seconds_ >= kSecondsBetweenQuestions) {
    asked_seconds_ = now;
    rate_ = limit_();
  }
  if (!rate_ || *rate_ <= 0) {
    tokens_ = 0;
    filled_seconds_ = now;
    return 0;
  }
  tokens_ = std::min(tokens_ + *rate_ * (now - filled_seconds_), *rate_ * kBurstSeconds);
  filled_seconds_ = now;
  if (tokens_ < 0) return std::min(-tokens_ / *rate_, kLongestSleepSeconds);
  tokens_ -= static_cast<double>(bytes);
  return 0;
}

Status Throttle::Admit(std::uint64_t bytes, const std::stop_token& stop) {
  while (true) {
    ASR_CHECK(CheckStop(stop));
    const double wait = TryTake(bytes);
    if (wait <= 0) return {};
    clock_.SleepSeconds(std::max(wait, 0.001));
  }
}

}  // namespace asr
