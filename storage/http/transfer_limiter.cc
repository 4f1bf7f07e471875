#include "storage/http/transfer_limiter.h"

#include <algorithm>
#include <utility>

#include "storage/base/stop.h"

namespace asr {
namespace {

constexpr std::uint64_t kMinBodyBytes = 64 * kKiB;
constexpr std::uint64_t kMaxBodyBytes = 4 * kMiB;
// Grown by so much for each window of bytes that went well.
constexpr std::uint64_t kStepBytes = 256 * kKiB;
// Up to the first decrease: by so many times the bytes that went well.
constexpr std::uint64_t kFirstGrowth = 4;

}  // namespace

TransferLimiter::Permit::Permit(Permit&& other) noexcept
    : limiter_(std::exchange(other.limiter_, nullptr)),
      bytes_(other.bytes_),
      start_seconds_(other.start_seconds_),
      byte_seconds_(other.byte_seconds_),
      epoch_(other.epoch_) {}

void TransferLimiter::Permit::Finish(TransferOutcome outcome) {
  TransferLimiter* const limiter = std::exchange(limiter_, nullptr);
  if (limiter != nullptr) limiter->Release(*this, outcome);
}

TransferLimiter::TransferLimiter(Clock& clock, TransferLimits limits)
    : clock_(clock),
      limits_(limits),
      window_bytes_(limits.first_window_bytes),
      counted_seconds_(clock.MonotonicSeconds()) {}

Result<TransferLimiter::Permit> TransferLimiter::Acquire(std::uint64_t bytes,
                                                         const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (bytes == 0) return Grant(0);
  const auto place = waiting_.insert(waiting_.end(), 0);
  const bool is_granted =
      changed_.wait(lock, stop, [&] { return place == waiting_.begin() && Fits(bytes); });
  waiting_.erase(place);
  changed_.notify_all();  // the next one in line may fit, too
  if (!is_granted) return Fail(Stopped());
  return Grant(bytes);
}

std::optional<TransferLimiter::Permit> TransferLimiter::TryAcquire(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > 0 && (!waiting_.empty() || !Fits(bytes))) return std::nullopt;
  return Grant(bytes);
}

std::uint64_t TransferLimiter::suggested_body_bytes() const {
  const std::lock_guard lock(mutex_);
  const auto share = window_bytes_ / static_cast<std::uint64_t>(std::max(limits_.parallelism, 1));
  return std::clamp(AlignDown(share, kMinBodyBytes), kMinBodyBytes, kMaxBodyBytes);
}

std::uint64_t TransferLimiter::window_bytes() const {
  const std::lock_guard lock(mutex_);
  return window_bytes_;
}

bool TransferLimiter::Fits(std::uint64_t bytes) const {
  return in_flight_bytes_ == 0 || in_flight_bytes_ + bytes <= window_bytes_;
}

TransferLimiter::Permit TransferLimiter::Grant(std::uint64_t bytes) {
  Permit permit(this, bytes);
  permit.start_seconds_ = CountByteSeconds();
  permit.byte_seconds_ = byte_seconds_;
  permit.epoch_ = epoch_;
  in_flight_bytes_ += bytes;
  return permit;
}

void TransferLimiter::Release(const Permit& permit, TransferOutcome outcome) {
  const std::lock_guard lock(mutex_);
  const double seconds = std::max(CountByteSeconds() - permit.start_seconds_, 1e-6);
  const double mean_in_flight_bytes = (byte_seconds_ - permit.byte_seconds_) / seconds;
  in_flight_bytes_ -= permit.bytes_;
  changed_.notify_all();
  const bool is_slow =
      outcome == TransferOutcome::kDone && permit.bytes_ > 0 && seconds > limits_.target_seconds;
  if (outcome == TransferOutcome::kCongested || is_slow) {
    if (permit.epoch_ == epoch_) Shrink(seconds, outcome);
  } else if (outcome == TransferOutcome::kDone && permit.bytes_ > 0) {
    Grow(permit.bytes_, seconds, mean_in_flight_bytes);
  }
}

void TransferLimiter::Shrink(double seconds, TransferOutcome outcome) {
  double factor = outcome == TransferOutcome::kCongested ? 0.65 : 0.7;
  // What the measured time says, with a margin; at most to a sixteenth at once, it may be a freak.
  if (seconds > limits_.target_seconds) {
    factor = std::clamp(0.8 * limits_.target_seconds / seconds, 1.0 / 16, factor);
  }
  const auto smaller = static_cast<std::uint64_t>(static_cast<double>(window_bytes_) * factor);
  window_bytes_ = std::max(smaller, limits_.min_window_bytes);
  ++epoch_;
}

void TransferLimiter::Grow(std::uint64_t bytes, double seconds, double mean_in_flight_bytes) {
  // The line's rate, by all that shared it with this request (Little's law). Only a window that it
  // carries in half of the time may grow; so the window also stays small while it is not used.
  const double rate = mean_in_flight_bytes / seconds;
  const auto most = static_cast<std::uint64_t>(rate * limits_.target_seconds / 2);
  if (window_bytes_ > most) return;
  std::uint64_t wider =
      window_bytes_ + std::max<std::uint64_t>(kStepBytes * bytes / window_bytes_, 1);
  if (epoch_ == 0) {
    // Doubled after each window of bytes; more, as far as the rate that was seen allows.
    wider = std::max(window_bytes_ + bytes, std::min(window_bytes_ + kFirstGrowth * bytes, most));
  }
  window_bytes_ = std::min(wider, limits_.max_window_bytes);
}

double TransferLimiter::CountByteSeconds() {
  const double now = clock_.MonotonicSeconds();
  byte_seconds_ += static_cast<double>(in_flight_bytes_) * (now - counted_seconds_);
  counted_seconds_ = now;
  return now;
}

}  // namespace asr
